"""Tests live updates of a deployment with two phones on its WebSocket: who is told of a change, who is not, and how fast.

    LIVE_URL=wss://… BASE_URL=https://… JWT_SECRET=… target/ci/ministack/bin/python tests/deploy/live.py

Needs the package websockets. Leaves the tombstones of its projects. Durations are printed and not judged.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import statistics
import sys
import time
import urllib.error
import urllib.request
import uuid

import websockets

BASE_URL, LIVE_URL = os.environ["BASE_URL"], os.environ["LIVE_URL"]
SECRET = os.environ["JWT_SECRET"]
# Nothing here takes this long unless it never comes.
PATIENCE = float(os.environ.get("PATIENCE", "20"))
# A connection gets at most one poke per second of a project, so the commits take turns among projects.
PROJECTS, ROUNDS = 8, 12
ROUND = 1.2


class Failed(Exception):
    """What is wrong with the deployment, as a sentence."""


def check(is_so, otherwise):
    if not is_so:
        raise Failed(otherwise)


def token(user, lifetime=3600):
    def encode(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = {"sub": user, "exp": int(time.time()) + lifetime}
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{encode(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


def call(user, method, path, body=None):
    """The body of a response, and the version that it is of."""
    request = urllib.request.Request(f"{BASE_URL}/api/v1/projects/{path}", method=method)
    request.add_header("Authorization", f"Bearer {token(user)}")
    request.add_header("Content-Type", "application/json")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=PATIENCE) as response:
            text = response.read()
            return json.loads(text) if text else {}
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {path} was answered {error.code} {error.read().decode()}") from None


def change(user, project, number):
    """Commits a change, and returns the version that it made."""
    return call(user, "PATCH", f"{project}/", {"name": f"Change {number}"})["server_version"]


def pull(user, project, since):
    return call(user, "GET", f"{project}/sync/?since={since}")["timestamp"]


class Phone:
    """A user's WebSocket. Pokes are kept apart from answers, since they may come between a question and its answer."""

    def __init__(self, user, socket):
        self.user, self.socket = user, socket
        self.answers, self.known, self.moved = asyncio.Queue(), {}, asyncio.Condition()
        self.listening = asyncio.create_task(self.listen())

    @classmethod
    async def connect(cls, user):
        return cls(user, await websockets.connect(LIVE_URL, open_timeout=PATIENCE))

    async def listen(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.socket:
                message = json.loads(text)
                if message.keys() == {"project", "version"}:
                    async with self.moved:
                        self.known[message["project"]] = max(self.known.get(message["project"], 0), message["version"])
                        self.moved.notify_all()
                else:
                    self.answers.put_nowait(message)

    async def ask(self, **message):
        await self.socket.send(json.dumps(message))
        try:
            return await asyncio.wait_for(self.answers.get(), PATIENCE)
        except TimeoutError:
            raise Failed(f"{self.user}: no answer to {message['action']}") from None

    async def watch(self, *projects):
        return await self.ask(action="watch", token=token(self.user), projects=list(projects))

    async def told(self, project, version):
        """Waits until this phone is told of this version or a later one."""
        async with self.moved:
            try:
                await asyncio.wait_for(self.moved.wait_for(lambda: self.known.get(project, 0) >= version), PATIENCE)
            except TimeoutError:
                known = self.known.get(project)
                raise Failed(f"{self.user} was not told of version {version} of {project}, but of {known}") from None

    async def closed(self):
        try:
            await asyncio.wait_for(self.listening, PATIENCE)
        except TimeoutError:
            raise Failed(f"the connection of {self.user} was not closed") from None

    async def close(self):
        await self.socket.close()
        await self.listening


def make(project):
    call("olga", "POST", "", {"id": project, "name": "Live", "start_date": "2026-03-02"})
    return call("olga", "POST", f"{project}/memberships/", {"user": "mia", "role": 1})


async def strangers(project):
    """A user who is not a member is told nothing, not even whether the project exists."""
    sam = await Phone.connect("sam")
    absent = f"{project}-absent"
    answer = await sam.watch(project, absent)
    check(answer == {"watching": [], "refused": [project, absent]}, f"a stranger was answered {answer}")
    refused = await sam.ask(action="watch", token=token("sam", -3600), projects=[project])
    check(refused.get("code") == "token_expired", f"an expired token was answered {refused}")
    refused = await sam.ask(action="watch", token=token("sam")[:-4] + "AAAA", projects=[project])
    check(refused.get("code") == "token_invalid", f"a wrong token was answered {refused}")
    refused = await sam.ask(action="fly")
    check(refused.get("code") == "invalid_message", f"a message of no meaning was answered {refused}")
    answer = await sam.ask(action="ping")
    check(answer == {"pong": True}, f"a ping was answered {answer}")
    version = await asyncio.to_thread(change, "olga", project, 0)
    await asyncio.sleep(1)
    check(not sam.known, f"a stranger was told {sam.known}, when {project} came to {version}")
    await sam.close()


async def durations(olga, mia, projects):
    """The milliseconds from a write of one phone to the poke of the other one, and to the end of its pull."""
    pokes, pulls, answers = [], [], []
    for number in range(ROUNDS):
        began = time.monotonic()
        for project in projects:
            since, sent = mia.known[project], time.monotonic()
            version = await asyncio.to_thread(change, "olga", project, number)
            answers.append(time.monotonic() - sent)
            await mia.told(project, version)
            pokes.append(time.monotonic() - sent)
            mark = await asyncio.to_thread(pull, "mia", project, since)
            pulls.append(time.monotonic() - sent)
            check(mark >= version, f"a pull after the poke of {version} ends at {mark}")
            await olga.told(project, version)
        await asyncio.sleep(max(0, ROUND - (time.monotonic() - began)))
    return answers, pokes, pulls


async def removal(olga, mia, project, membership):
    """A member who is removed is told nothing any more: the connection is closed, and another one may not watch."""
    await asyncio.to_thread(call, "olga", "DELETE", f"{project}/memberships/{membership}/")
    await mia.closed()
    version = await asyncio.to_thread(change, "olga", project, "after the removal")
    await olga.told(project, version)
    check(mia.known.get(project, 0) < version, f"a removed member was told of {version}")
    back = await Phone.connect("mia")
    answer = await back.watch(project)
    check(answer == {"watching": [], "refused": [project]}, f"a removed member was answered {answer}")
    await back.close()


async def dead_peer(olga, project):
    """A connection that breaks without being closed does not keep others from being told."""
    dead = await Phone.connect("olga")
    await dead.watch(project)
    dead.socket.transport.abort()
    version = await asyncio.to_thread(change, "olga", project, "after a connection broke")
    await olga.told(project, version)


def row(what, seconds):
    ms = sorted(1000 * second for second in seconds)
    p99 = ms[min(len(ms) - 1, round(0.99 * len(ms)))]
    print(f"    {what}: median {statistics.median(ms):.0f} ms, p99 {p99:.0f} ms, of {len(ms)}", flush=True)


async def main():
    name = f"live-{uuid.uuid4()}"
    projects = [f"{name}-{number}" for number in range(PROJECTS)]
    memberships = [await asyncio.to_thread(make, project) for project in projects]
    olga, mia = await Phone.connect("olga"), await Phone.connect("mia")
    for phone in (olga, mia):
        answer = await phone.watch(*projects)
        watching = [{"project": project, "version": 3} for project in projects]
        check(answer == {"watching": watching, "refused": []}, f"{phone.user} watches {answer}")
        phone.known = {project: 3 for project in projects}
    print("ok  two phones watch what they are members of", flush=True)
    await strangers(projects[0])
    print("ok  strangers are told nothing", flush=True)
    answers, pokes, pulls = await durations(olga, mia, projects)
    print("ok  each change is told and pulled", flush=True)
    row("a write to its answer", answers)
    row("a write to the other phone's poke", pokes)
    row("a write to the end of the other phone's pull", pulls)
    await removal(olga, mia, projects[0], memberships[0]["id"])
    print("ok  a removed member is told nothing, and the connection is closed", flush=True)
    await dead_peer(olga, projects[1])
    print("ok  a dead connection keeps nobody waiting", flush=True)
    for project in projects:
        await asyncio.to_thread(call, "olga", "DELETE", f"{project}/")
    await olga.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (Failed, websockets.WebSocketException, OSError) as failure:
        print("FAILED ", failure if isinstance(failure, Failed) else repr(failure), flush=True)
        sys.exit(1)
