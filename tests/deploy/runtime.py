"""Lambda's side of the Runtime API: starts a bootstrap as Lambda does and gives it one event at a time, with Lambda's limits."""

import contextlib
import http.server
import json
import os
import queue
import re
import shlex
import subprocess
import tempfile
import threading
import time
import uuid

# The most bytes of a buffered response, the body escaped or in Base64 inside it.
RESPONSE_LIMIT = 6_291_556
# The functions' in template.yaml.
TIMEOUT = 29
# The command that runs a program of another processor, for example `qemu-aarch64 -L DIRECTORY`. Empty: this machine runs it.
QEMU = shlex.split(os.environ.get("QEMU", ""))
# How many times longer a start or an end may take. Under qemu, on a busy machine, a start has taken 2 s.
PATIENCE = 20 if QEMU else 1


class Failed(Exception):
    """What is wrong with a function, as a sentence."""


def check(is_so, otherwise):
    if not is_so:
        raise Failed(otherwise)


def short(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 300 else f"{text[:300]}…"


class InvocationFailed(Failed):
    """What Lambda calls a function error: there is no response, or none that it takes."""

    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Invocation:
    def __init__(self, event):
        self.id, self.event, self.deadline = str(uuid.uuid4()), json.dumps(event).encode(), time.time() + TIMEOUT
        self.done, self.payload, self.failure = threading.Event(), None, None

    def end(self, payload=None, failure=None):
        self.payload, self.failure = payload, failure
        self.done.set()


class Instance:
    """One process, from its init until it ends, and the Runtime API that it sees."""

    def __init__(self, name, binary, variables, limit, log):
        self.name, self.limit = name, limit
        self.waiting, self.current = queue.Queue(), None
        # Whether it ever asked for an event, which is the end of its init.
        self.asked = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (Api,), {"instance": self}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        environment = self.environment() | variables
        environment = {variable: value for variable, value in environment.items() if value is not None}
        self.process = subprocess.Popen([*QEMU, binary], env=environment, cwd="/", stdout=log, stderr=log)

    def environment(self):
        return {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/03/02/[$LATEST]00000000000000000000000000000000",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "test",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TZ": ":UTC",
            "_HANDLER": "bootstrap",
        }

    def ended(self):
        return self.process.poll() is not None

    def invoke(self, event):
        invocation = self.current = Invocation(event)
        self.waiting.put(invocation)
        while not invocation.done.wait(0.02):
            # Only what was not answered before the end is lost by it.
            if self.ended() and not invocation.done.wait(0.1):
                raise InvocationFailed("Runtime.ExitError", f"{self.name} ended with {self.process.returncode}")
            if time.time() > invocation.deadline:
                self.end()
                raise InvocationFailed("Sandbox.Timedout", f"{self.name} did not answer in {TIMEOUT} s")
        if invocation.failure:
            raise invocation.failure
        return invocation.payload

    def end(self):
        self.process.kill()
        self.process.wait(10)
        self.waiting.put(None)
        self.server.shutdown()
        self.server.server_close()


class Api(http.server.BaseHTTPRequestHandler):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, for one instance."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes, and the second is not to wait for the acknowledgement of the first.
    disable_nagle_algorithm = True
    instance = None

    def handle(self):
        with contextlib.suppress(ConnectionError):  # the instance has been ended
            super().handle()

    def do_GET(self):
        if self.path != "/2018-06-01/runtime/invocation/next":
            return self.answer(404, {"errorType": "NotFound", "errorMessage": self.path})
        self.instance.asked.set()
        invocation = self.instance.waiting.get()
        if invocation is None:
            self.close_connection = True
            return None
        trace = f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Parent={uuid.uuid4().hex[:16]};Sampled=0"
        return self.answer(200, invocation.event, {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:us-east-1:123456789012:function:{self.instance.name}",
            "Lambda-Runtime-Trace-Id": trace,
        })

    def do_POST(self):
        body = self.body()
        if self.path == "/2018-06-01/runtime/init/error":
            return self.answer(202, {"status": "OK"})
        path = re.fullmatch(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)", self.path)
        if not path:
            return self.answer(404, {"errorType": "NotFound", "errorMessage": self.path})
        invocation = self.instance.current
        if invocation is None or path[1] != invocation.id or invocation.done.is_set():
            return self.answer(400, {"errorType": "InvalidRequestID", "errorMessage": "not the event that is worked on"})
        payload, failure, status = None, None, 202
        if path[2] == "error":
            failure = InvocationFailed(self.headers.get("Lambda-Runtime-Function-Error-Type", "Unhandled"), body.decode())
        elif self.headers.get("Lambda-Runtime-Function-Response-Mode"):
            # To an HTTP API that is not a response: it invokes functions without streaming.
            failure = InvocationFailed("Runtime.InvalidResponse", "a streamed response")
        elif len(body) > self.instance.limit:
            message = f"{len(body)} bytes exceeded maximum allowed payload size ({self.instance.limit} bytes)."
            failure, status = InvocationFailed("Function.ResponseSizeTooLarge", message), 413
        else:
            payload = body
        refusal = {"errorType": failure.kind, "errorMessage": str(failure)} if status == 413 else {"status": "OK"}
        self.answer(status, refusal)
        return invocation.end(payload, failure)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def answer(self, status, body, headers={}):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Function:
    """A function: an instance when there is an event, a new one when the last has ended, until the with statement ends."""

    def __init__(self, name, binary, variables, limit=RESPONSE_LIMIT):
        self.name, self.binary, self.variables, self.limit = name, binary, variables, limit
        self.instance, self.log, self.started, self.sizes = None, tempfile.TemporaryFile(), 0, []

    def start(self):
        self.started += 1
        self.instance = Instance(self.name, self.binary, self.variables, self.limit, self.log)
        return self.instance

    def invoke(self, event):
        """What the function answers, as bytes. Raises InvocationFailed when it does not."""
        if self.instance and self.instance.ended():
            self.instance.end()
            self.instance = None
        payload = (self.instance or self.start()).invoke(event)
        self.sizes.append(len(payload))
        return payload

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.instance:
            self.instance.end()
