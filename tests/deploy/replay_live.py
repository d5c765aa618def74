"""Plays events of the WebSocket API and of the table's stream to `live` and `poke`, as they are deployed. Part of replay.py."""

import contextlib
import http.server
import json
import subprocess
import threading
import time
import urllib.parse

from runtime import PATIENCE, Failed, InvocationFailed, check, short

OPEN, DEAD = "L0SM9cOFvHcCIhw=", "L0SM9cOFvHcCIhx="
# A project is poked at most once a second.
PACE = 1.1


class Gateway:
    """The management API of a WebSocket stage: what was sent to which connection, and which were closed."""

    def __init__(self):
        self.sent, self.closed, self.status = [], [], {}
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self, note):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                connection = urllib.parse.unquote(self.path.removeprefix("/live/@connections/"))
                note(connection, body)
                self.send_response(gateway.status.get(connection, 200))
                self.send_header("content-length", "0")
                self.end_headers()

            def do_POST(self):
                self.answer(lambda connection, body: gateway.sent.append((connection, json.loads(body))))

            def do_DELETE(self):
                self.answer(lambda connection, _: gateway.closed.append(connection))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/live"

    def told(self):
        """What was sent since this was asked last, in order of connections."""
        sent, self.sent = sorted(self.sent, key=lambda message: message[0]), []
        return sent

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def of_connection(kind, connection=OPEN, said=None):
    """An event as the gateway sends it; text as it came, anything else as JSON."""
    context = {
        "routeKey": {"CONNECT": "$connect", "DISCONNECT": "$disconnect"}.get(kind, "$default"),
        "eventType": kind,
        "messageDirection": "IN",
        "stage": "live",
        "connectedAt": int(time.time() * 1000),
        "requestTimeEpoch": int(time.time() * 1000),
        "identity": {"sourceIp": "192.0.2.1", "userAgent": "okhttp/4.12.0"},
        "requestId": "Ki4cWGqzIAMFnCA=",
        "extendedRequestId": "Ki4cWGqzIAMFnCA=",
        "domainName": "abc123.execute-api.us-east-1.amazonaws.com",
        "connectionId": connection,
        "apiId": "abc123",
    }
    event = {"requestContext": context, "isBase64Encoded": False}
    if kind == "CONNECT":
        event |= {"headers": {"Host": context["domainName"]}, "multiValueHeaders": {"Host": [context["domainName"]]}}
    if kind == "MESSAGE":
        context["messageId"] = context["requestId"]
        event["body"] = said if isinstance(said, str) else json.dumps(said)
    return event


def of_stream(project, version, number="100000000000000000001"):
    image = {"current_version": {"N": str(version)}, "last": {"M": {"tasks#dig": {"N": str(version)}}}}
    keys = {"project_id": {"S": project}, "entity": {"S": "_counter"}}
    record = {
        "eventID": "7de3041dd709b024af6f29e4fa13d34c",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": int(time.time()),
            "Keys": keys,
            "NewImage": keys | image,
            "SequenceNumber": number,
            "SizeBytes": 120,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/trueppm/stream/2026-03-02T00:00:00.000",
    }
    return {"Records": [record]}


class Live:
    """Both functions, and the gateway between them and a phone."""

    def __init__(self, live, poke, gateway, token):
        self.live, self.poke, self.gateway, self.token = live, poke, gateway, token

    def event(self, kind, connection=OPEN, said=None):
        response = json.loads(self.live.invoke(of_connection(kind, connection, said)))
        check(response.get("statusCode") == 200, f"{kind} was answered {short(response)}")
        return response.get("body")

    def say(self, said, connection=OPEN):
        answer = self.event("MESSAGE", connection, said)
        check(isinstance(answer, str), f"{short(said)} was answered {answer!r}, which the gateway does not send")
        return json.loads(answer)

    def watch(self, *projects, connection=OPEN, token=None):
        return self.say({"action": "watch", "token": token or self.token, "projects": list(projects)}, connection)

    def moved(self, project, version):
        """Hands a commit to poke as the stream would. Returns what connections were told."""
        time.sleep(PACE)
        response = json.loads(self.poke.invoke(of_stream(project, version)))
        check(response == {"batchItemFailures": []}, f"a batch was answered {short(response)}")
        return self.gateway.told()


def watched_and_told(live, project, version):
    for connection in (OPEN, DEAD):
        check(live.event("CONNECT", connection) is None, "a new connection was told something")
        answer = live.watch(project, "absent", connection=connection)
        check(
            answer == {"watching": [{"project": project, "version": version}], "refused": ["absent"]},
            f"a watch was answered {short(answer)}",
        )
    poke = {"project": project, "version": version + 1}
    live.gateway.status[DEAD] = 410
    told = live.moved(project, version + 1)
    check(told == [(OPEN, poke), (DEAD, poke)], f"a change was told as {short(told)}")
    told = live.moved(project, version + 2)
    check([connection for connection, _ in told] == [OPEN], f"with a dead connection, a change was told as {short(told)}")
    live.gateway.status[OPEN] = 500
    live.moved(project, version + 3)
    live.gateway.status.clear()
    told = live.moved(project, version + 4)
    check(told == [(OPEN, poke | {"version": version + 4})], f"after a failure, a change was told as {short(told)}")
    live.event("DISCONNECT")
    told = live.moved(project, version + 5)
    check(told == [], f"after the end, a change was told as {short(told)}")


def refused_messages(live, project):
    live.event("CONNECT")
    check(live.say({"action": "ping"}) == {"pong": True}, "a ping was not answered")
    for said, code in (
        ("", "invalid_message"),
        ("{ä", "invalid_message"),
        ([], "invalid_message"),
        ({"action": "fly"}, "invalid_message"),
        ({"action": "watch", "token": "no", "projects": [project]}, "token_invalid"),
        ({"action": "watch", "token": live.token, "projects": ["p"] * 101}, "too_many_projects"),
        ("x" * 100_000, "message_too_large"),
    ):
        answer = live.say(said)
        check(answer.get("code") == code, f"{short(said)} was answered {short(answer)}, not {code}")
    live.event("DISCONNECT")


def malformed_live_events(live):
    """A malformed event gets an error or an answer, and the next event is answered as usual."""
    for function in (live.live, live.poke):
        for event in ({}, [], "text", None, {"Records": None}, {"Records": [None, {}, {"dynamodb": {}}]}, {"sweep": True}):
            with contextlib.suppress(InvocationFailed):
                function.invoke(event)
    check(live.say({"action": "ping"}) == {"pong": True}, "a ping was not answered")
    check(live.moved("nobodys", 7) == [], "nobody was told something")


def poke_without_environment(poke, secret):
    """Init ends at once, with one line that names the variable. It needs no key."""
    for variables, named in (({"TABLE_NAME": None}, "TABLE_NAME"), ({"LIVE_API_URL": None}, "LIVE_API_URL")):
        with poke(JWT_SECRET=None, **variables) as function:
            instance = function.start()
            try:
                status = instance.process.wait(5 * PATIENCE)
            except subprocess.TimeoutExpired:
                raise Failed(f"without {named} poke goes on") from None
            lines = function.output().splitlines()
            check(status != 0 and len(lines) == 1 and named in lines[0], f"without {named} poke says {lines}")
            check(secret not in lines[0], "poke shows the secret")
    with poke(JWT_SECRET=None) as function:
        check(json.loads(function.invoke({"sweep": True})) == {"batchItemFailures": []}, "poke needs a secret")
