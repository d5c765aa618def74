"""Sends recorded events, and others like them, to the functions as they are deployed, on the local stack's engine.

    python3 tests/deploy/replay.py target/ci/sam-build target/debug/trueppm

The variable QEMU is the command that runs functions of another processor: see tests/deploy/arm64, which sets it. The times are
then those of the emulator and say nothing about the functions.

Standard library only. Also checks that it would notice a response that is too large, and a wrong secret.
"""

import base64
import contextlib
import copy
import functools
import gzip
import json
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import time

import replay_live
from runtime import PATIENCE, QEMU, RESPONSE_LIMIT, Failed, Function, InvocationFailed, check, short

ROOT = pathlib.Path(__file__).parent.parent.parent
EVENTS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "tests/events").glob("*.json"))}
SECRET = re.search(r"^JWT_SECRET=(.+)$", (ROOT / "infra/watch.env").read_text(), re.MULTILINE)[1]
COLLECTIONS = ("projects", "tasks", "dependencies", "calendars", "memberships")
FUNCTIONS = ("rest", "sync", "live", "poke")
SEED = 20260302
# A cold start loads the program first, so it takes longer.
LARGEST_BINARY = 6_000_000
# The functions run on Amazon Linux 2023, whose C library has version 2.34.
NEWEST_GLIBC = 34
# The library that reads events fails if a body is marked as Base64 and is not. No gateway sends such an event. The runtime turns
# the failure into an error.
UNDECODABLE = "/aws_lambda_events-"


class Answer:
    """A function's response as API Gateway (payload format 2.0) reads it."""

    def __init__(self, payload):
        response = json.loads(payload)
        check(type(response.get("statusCode")) is int, f"not a response of an HTTP API: {short(response)}")
        self.status = response["statusCode"]
        self.headers = {name.lower(): value for name, value in (response.get("headers") or {}).items()}
        body = response.get("body") or ""
        body = base64.b64decode(body, validate=True) if response.get("isBase64Encoded") else body.encode()
        self.encoding = self.headers.get("content-encoding", "identity")
        self.body = gzip.decompress(body) if self.encoding == "gzip" else body

    def json(self):
        check("json" in self.headers.get("content-type", ""), f"no JSON, but {self.headers}")
        return json.loads(self.body)

    def problem(self, status, code):
        """Checks that the answer is this RFC 9457 problem, and that no device can take it for a pull."""
        check(self.status == status, f"{self.status} {short(self.body.decode())}, not {status} {code}")
        problem = self.json()
        check(self.headers["content-type"] == "application/problem+json", f"a problem as {self.headers['content-type']}")
        check(problem["code"] == code and problem["status"] == status, f"{short(problem)}, not {code}")
        check(not problem.keys() & {"timestamp", "changes"}, f"a problem that a device takes for a pull: {short(problem)}")


class Pair:
    """Both functions. An event goes to one of them by its route."""

    def __init__(self, rest, sync):
        self.rest, self.sync = rest, sync

    def send(self, event, status=None):
        answer = Answer((self.sync if "/sync" in event["routeKey"] else self.rest).invoke(event))
        expected = status is None or answer.status == status
        check(expected, f"{event['rawPath']} was answered {answer.status} {short(answer.body.decode())}, not {status}")
        return answer

    def call(self, method, path, body=None, status=200, query="", headers={}, as_base64=False):
        """A request like the recorded ones."""
        is_sync = method == "GET" and re.search(r"/sync/?$", path)
        event = copy.deepcopy(EVENTS["05-pull-everything" if is_sync else "02-create-project"])
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event["requestContext"]["http"]["method"] = method
        event["rawQueryString"] = query
        event["queryStringParameters"] = dict(pair.split("=") for pair in query.split("&") if pair)
        event["headers"].update(headers)
        event["pathParameters"] = {"project_id": path.split("/")[4]} if is_sync else {"proxy": path[len("/api/v1/"):]}
        text = None if body is None else json.dumps(body, ensure_ascii=False)
        event["body"] = base64.b64encode(text.encode()).decode() if as_base64 else text
        event["isBase64Encoded"] = as_base64
        return self.send(event, status)


def pulled(answer):
    """The changes, mark and has_more of a pull. Checks that it has the only form that WatermelonDB accepts."""
    body = answer.json()
    check(body.keys() - {"has_more", "row_counts", "checksum"} == {"changes", "timestamp"}, f"a pull with {list(body)}")
    changes, mark = body["changes"], body["timestamp"]
    check(type(mark) is int and mark > 0, f"timestamp is {mark!r}")
    check(body.get("has_more", True) is True, f"has_more is {body.get('has_more')!r}")
    check(tuple(sorted(changes)) == tuple(sorted(COLLECTIONS)), f"changes has {list(changes)}")
    for name, of in changes.items():
        check(of.keys() == {"created", "updated", "deleted"} and of["created"] == [], f"{name} is {short(of)}")
        ids = [row["id"] for row in of["updated"]] + of["deleted"]
        check(len(ids) == len(set(ids)), f"{name} has an id twice: {short(ids)}")
        for row in of["updated"]:
            check(not any(isinstance(value, dict | list) for value in row.values()), f"a row is not flat: {short(row)}")
    return changes, mark, body.get("has_more", False)


def brings(answer, mark, **expected):
    """Checks that a whole pull brings this, by collection (updated rows, deleted ids), and nothing else."""
    changes, at, more = pulled(answer)
    check(at == mark and not more, f"a pull ends at {at}, more: {more}, and not at {mark}")
    for name in COLLECTIONS:
        updated, deleted = expected.get(name, ([], []))
        found = changes[name]["updated"], sorted(changes[name]["deleted"])
        check(found == (updated, sorted(deleted)), f"a pull brings {short(found)} in {name}, not {short([updated, deleted])}")


def recorded_events(pair):
    """tests/events in order; each builds on those before."""
    unused = dict(EVENTS)

    def play(name, status):
        return pair.send(unused.pop(name), status)

    check(play("01-health", 200).json()["status"] == "ok", "/health is not ok")
    created = play("02-create-project", 201)
    project = created.json()
    check((project["id"], project["server_version"]) == ("by-hand", 1), f"created {short(project)}")
    check(created.headers["etag"] == '"1"' and created.headers["location"] == "/api/v1/projects/by-hand/", f"{created.headers}")
    listed = play("03-list-projects", 200).json()
    check(listed == {"results": [project], "next": None}, f"listed {short(listed)}")
    task = play("04-create-task", 201).json()
    check((task["id"], task["duration"], task["server_version"]) == ("dig", 8, 3), f"created {short(task)}")
    everything = play("05-pull-everything", 200)
    owner = pulled(everything)[0]["memberships"]["updated"]
    check([(member["user"], member["server_version"]) for member in owner] == [("olga", 2)], f"members {short(owner)}")
    brings(everything, 3, projects=([project], []), tasks=([task], []), memberships=(owner, []))
    changed = play("06-change-task", 200).json()
    check(changed == task | {"percent_complete": 50, "server_version": 4}, f"changed to {short(changed)}")
    brings(play("07-pull-delta", 200), 4, tasks=([changed], []))
    brings(play("08-pull-nothing", 200), 4)
    batch = play("09-batch", 200)
    check([result["status"] for result in batch.json()["results"]] == [201] * 3, f"a batch came to {short(batch.json())}")
    check(batch.headers["x-server-version"] == "7", f"after the batch: {batch.headers}")
    batch = play("10-batch-base64", 200).json()
    check(batch == {"results": [{"status": 200, "id": "dig", "server_version": 8}]}, f"a batch came to {short(batch)}")
    member = play("11-add-member", 201).json()
    check((member["user"], member["role"], member["server_version"]) == ("mia", 100, 9), f"added {short(member)}")
    check(play("12-delete-task", 204).body == b"", "204 with a body")
    check(play("13-preflight", 204).body == b"", "204 with a body")
    stranger = play("14-without-a-token", 401)
    check(stranger.headers["www-authenticate"].startswith("Bearer"), f"401 with {stranger.headers}")
    stranger.problem(401, "token_missing")
    play("15-delete-project", 204)
    rows = {"projects": ["by-hand"], "tasks": ["dig", "slab"], "dependencies": ["dig-slab"], "calendars": ["site"]}
    rows["memberships"] = [owner[0]["id"], member["id"]]
    wiped = play("16-pull-wipe", 200)
    brings(wiped, pulled(wiped)[1], **{name: ([], ids) for name, ids in rows.items()})
    check(not unused, f"tests/events has {list(unused)}, which nothing here plays")


def plain_and_base64_bodies(pair):
    pair.call("POST", "/api/v1/projects/", {"id": "bodies", "name": "Both", "start_date": "2026-03-02"}, 201)
    name = 'Größe "\\" \U0001f3d7 \u2028'
    rows = []
    for number, as_base64 in enumerate((False, True)):
        task = {"id": f"task-{number}", "name": name}
        rows.append(pair.call("POST", "/api/v1/projects/bodies/tasks/", task, 201, as_base64=as_base64).json())
    check([row["name"] for row in rows] == [name, name], f"the name came back as {[row['name'] for row in rows]}")
    plain = pair.call("GET", "/api/v1/projects/bodies/sync", query="since=2")
    brings(plain, 4, tasks=(rows, []))
    compressed = pair.call("GET", "/api/v1/projects/bodies/sync/", query="since=2", headers={"accept-encoding": "gzip"})
    brings(compressed, 4, tasks=(rows, []))


def sizes(binaries):
    for binary in binaries.values():
        size = binary.stat().st_size
        check(size <= LARGEST_BINARY, f"{binary} has {size} bytes, more than {LARGEST_BINARY}")
        # Each version of a symbol that a program needs has its name in the program.
        newest = max(int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)", binary.read_bytes()))
        check(newest <= NEWEST_GLIBC, f"{binary} needs GLIBC_2.{newest}, and Lambda has 2.{NEWEST_GLIBC}")
        print(f"    {binary}: {size} bytes, GLIBC_2.{newest}", flush=True)


def starts(functions):
    """The time from a process's start until it asks for an event. It includes the connection to the table, but no download."""
    for name, start in functions.items():
        took = []
        for _ in range(5):
            with start() as function:
                began = time.monotonic()
                check(function.start().asked.wait(10 * PATIENCE), f"{name} does not ask for an event")
                took.append(1000 * (time.monotonic() - began))
        print(f"    {name}: median {statistics.median(took):.0f} ms of {len(took)} starts", flush=True)


def fill(pair):
    """Creates more rows than one response holds. Some have text that hardly compresses, or that grows when it is escaped."""
    pair.call("POST", "/api/v1/projects/", {"id": "large", "name": "Large", "start_date": "2026-03-02"}, 201)
    source, printable = random.Random(SEED), bytes(32 + byte % 95 for byte in range(256))
    rows = {}
    for batch in range(5):
        notes = [source.randbytes(50_000).translate(printable).decode() for _ in range(30)]
        tasks = [{"name": f"Task {number}", "notes": text} for number, text in enumerate([*notes, '"\\' * 25_000])]
        for number, task in enumerate(tasks):
            task["id"] = f"{batch}-{number}"
            rows[task["id"]] = task
        operations = [{"method": "POST", "path": "tasks/", "body": task} for task in tasks]
        pair.call("POST", "/api/v1/projects/large/batch/", {"operations": operations})
    return rows


def every_row(pair, rows, encoding):
    """The pages of a first pull hold each row once, and each of them fits."""
    held, since, pages, more = {}, 0, 0, True
    while more:
        answer = pair.call("GET", "/api/v1/projects/large/sync/", query=f"since={since}", headers={"accept-encoding": encoding})
        check(answer.encoding == encoding, f"{encoding} was asked for, and it is {answer.encoding}")
        changes, mark, more = pulled(answer)
        check(mark > since, f"the mark goes from {since} to {mark}")
        versions = [row["server_version"] for name in COLLECTIONS for row in changes[name]["updated"]]
        check(all(since < version <= mark for version in versions), f"a page from {since} to {mark} has {short(sorted(versions))}")
        for task in changes["tasks"]["updated"]:
            check(task["id"] not in held, f"{task['id']} is on two pages")
            held[task["id"]] = {name: task[name] for name in ("id", "name", "notes")}
        since, pages = mark, pages + 1
    check(held == rows, f"the {pages} pages hold {len(held)} of {len(rows)} rows, or not as they were made")
    check(since == len(rows) + 2, f"the last page ends at {since}, and the project is at {len(rows) + 2}")
    check(pages > 1, "everything came on one page, and is more than fits")


def every_row_of_both(pair, rows):
    every_row(pair, rows, "identity")
    every_row(pair, rows, "gzip")


def unknown_routes(pair):
    for path in ("/api/v1/nothing/", "/api/v1/projects/none/nothing/", "/"):
        pair.call("GET", path, status=404).problem(404, "no_such_route")
    refused = pair.call("DELETE", "/api/v1/projects/", status=405)
    refused.problem(405, "method_not_allowed")
    check(refused.headers.get("allow"), f"405 without Allow: {refused.headers}")


def malformed_events(pair):
    """A malformed event gets an error or a 4xx, and the next event is answered as usual."""
    not_base64 = EVENTS["10-batch-base64"] | {"body": "{ä"}
    without_context = {name: value for name, value in EVENTS["03-list-projects"].items() if name != "requestContext"}
    for function in (pair.rest, pair.sync):
        for event in ({}, [], "text", None, {"version": "2.0"}, without_context, not_base64):
            with contextlib.suppress(InvocationFailed):
                status = Answer(function.invoke(event)).status
                check(400 <= status < 500, f"{short(event)} was answered {status}")
        next_event = EVENTS["01-health"] if function is pair.rest else EVENTS["14-without-a-token"]
        pair.send(next_event, 200 if function is pair.rest else 401)


def wrong_environments(functions):
    """With a wrong variable, init ends at once with one line. The line names the variable, but not its value."""
    secret = "too-short-for-this"
    for what, variables, named in (
        ("no TABLE_NAME", {"TABLE_NAME": None}, ["TABLE_NAME"]),
        ("an empty TABLE_NAME", {"TABLE_NAME": ""}, ["TABLE_NAME"]),
        ("no keys", {"JWT_SECRET": None}, ["JWT_SECRET", "JWT_JWKS", "JWT_JWKS_URL"]),
        ("two sources of keys", {"JWT_JWKS": '{"keys":[]}'}, ["JWT_SECRET", "JWT_JWKS"]),
        ("a short secret", {"JWT_SECRET": secret}, ["JWT_SECRET"]),
        ("a secret that everybody knows", {"JWT_SECRET_MAY_BE_KNOWN": None}, ["JWT_SECRET"]),
        ("no JSON in JWT_JWKS", {"JWT_SECRET": None, "JWT_JWKS": "{"}, ["JWT_JWKS"]),
    ):
        for start in functions:
            with start(**variables) as function:
                started = time.monotonic()
                instance = function.start()
                try:
                    status = instance.process.wait(5 * PATIENCE)
                except subprocess.TimeoutExpired:
                    raise Failed(f"{what}: {function.name} goes on") from None
                took, lines = time.monotonic() - started, function.output().splitlines()
                check(status != 0, f"{what}: {function.name} ends with 0")
                check(not instance.asked.is_set(), f"{what}: {function.name} asked for an event")
                check(took < PATIENCE, f"{what}: {function.name} took {took:.1f} s to end")
                check(len(lines) == 1 and all(name in lines[0] for name in named), f"{what}: {function.name} says {lines}")
                check(secret not in lines[0] and SECRET not in lines[0], f"{what}: {function.name} shows the secret")


@contextlib.contextmanager
def engine(local):
    """The variables that tell the functions where the local stack's table is."""
    process = subprocess.Popen([local, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in process.stdout:
            if found := re.match(r"table +(\S+) at (http://127\.0\.0\.1:\d+),", line):
                variables = {"TABLE_NAME": found[1], "AWS_ENDPOINT_URL_DYNAMODB": found[2]}
            if line.startswith("listening"):
                break
        else:
            raise SystemExit("the local stack ended")
        yield variables | {"JWT_SECRET": SECRET, "JWT_SECRET_MAY_BE_KNOWN": "yes", "RUST_LOG": "trace"}
    finally:
        process.terminate()
        process.wait(30)


def passes(what, part, *arguments):
    started = time.monotonic()
    found = part(*arguments)
    print(f"ok  {what}  {(time.monotonic() - started) * 1000:.0f} ms", flush=True)
    return found


def fails(what, reason, part, *arguments):
    try:
        part(*arguments)
    except Failed as failure:
        check(reason in str(failure), f"{what}: failed with {failure}, not with {reason}")
        print(f"{what}: FAILED  {failure}", flush=True)
    else:
        raise Failed(f"{what}: nothing failed")


def play(pair, live, make):
    rest, sync = make["rest"], make["sync"]
    passes(f"{len(EVENTS)} recorded events", recorded_events, pair)
    passes("plain and Base64 bodies", plain_and_base64_bodies, pair)
    passes("unknown routes", unknown_routes, pair)
    passes("malformed events", malformed_events, pair)
    rows = passes(f"more rows than a response holds (seed {SEED})", fill, pair)
    passes("pages of them, plain and compressed", every_row_of_both, pair, rows)
    passes("changes told to connections", replay_live.watched_and_told, live, "large", len(rows) + 2)
    passes("messages that are refused", replay_live.refused_messages, live, "large")
    passes("malformed events of live and poke", replay_live.malformed_live_events, live)
    passes("wrong environments", wrong_environments, (rest, sync, make["live"]))
    passes("wrong environments of poke", replay_live.poke_without_environment, make["poke"], SECRET)
    for one in (pair.rest, pair.sync, live.live, live.poke):
        lines = one.output().splitlines()
        panics = [line for line in lines if "panicked at" in line and UNDECODABLE not in line]
        check(not panics, f"{one.name}: {panics}")
        # Below `info`, libraries may log personal data. The functions are built without those messages.
        below_info = [line for line in lines if re.match(r"\s*(DEBUG|TRACE) ", line)]
        check(not below_info, f"{one.name} logs {len(below_info)} messages below info: {below_info[:1]}")
        print(f"    {one.name}: {len(one.sizes)} responses of at most {max(one.sizes)} bytes, {one.started} instances", flush=True)
    with sync(limit=RESPONSE_LIMIT // 2) as narrow:
        too_large = "Function.ResponseSizeTooLarge"
        fails("a limit below a page", too_large, every_row, Pair(pair.rest, narrow), rows, "identity")
    with rest(JWT_SECRET=SECRET[::-1]) as wrong_rest, sync(JWT_SECRET=SECRET[::-1]) as wrong_sync:
        fails("rest with another secret", "answered 401", recorded_events, Pair(wrong_rest, pair.sync))
        fails("sync with another secret", "answered 401", every_row, Pair(pair.rest, wrong_sync), rows, "identity")
    with make["live"](JWT_SECRET=SECRET[::-1]) as wrong_live:
        other = replay_live.Live(wrong_live, live.poke, live.gateway, live.token)
        fails("live with another secret", "token_invalid", replay_live.watched_and_told, other, "large", len(rows) + 2)


def main(built, local):
    binaries = {name: pathlib.Path(built).resolve() / f"{name.title()}Function/bootstrap" for name in FUNCTIONS}
    if QEMU:
        print(f"Under {pathlib.Path(QEMU[0]).name}: every time below is that of an emulator, and says nothing about Lambda.", flush=True)
    passes("programs that are small, and that Lambda's C library is new enough for", sizes, binaries)
    gateway = replay_live.Gateway()
    with contextlib.ExitStack() as stack:
        stack.callback(gateway.close)
        variables = stack.enter_context(engine(local)) | {"LIVE_API_URL": gateway.url}

        def function(name, limit=RESPONSE_LIMIT, **changes):
            return Function(name, binaries[name], variables | changes, limit)

        make = {name: functools.partial(function, name) for name in FUNCTIONS}
        passes("starts", starts, make)
        running = {name: stack.enter_context(start()) for name, start in make.items()}
        token = EVENTS["05-pull-everything"]["headers"]["authorization"].removeprefix("Bearer ")
        try:
            live = replay_live.Live(running["live"], running["poke"], gateway, token)
            play(Pair(running["rest"], running["sync"]), live, make)
        except Failed:
            for one in running.values():
                lines = [line[-500:] for line in one.output().splitlines()[-10:]]
                print(f"--- the end of what {one.name} says", *lines, sep="\n", flush=True)
            raise


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    try:
        main(*sys.argv[1:])
    except Failed as failure:
        raise SystemExit(f"FAILED  {failure}") from None
