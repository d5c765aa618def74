"""The functions under `cargo lambda watch`, on the embedded engine: the events of tests/events by `cargo lambda invoke`, then
the smoke test and the real WatermelonDB over HTTP. Wants cargo-lambda in PATH and tests/client installed."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCAL = Path(os.environ["CARGO_TARGET_DIR"], "debug/trueppm")
LOGS = Path(os.environ["CARGO_TARGET_DIR"], "ci")

# The answer to each event, in the order in which the events are sent.
EVENTS = {
    "01-health": 200,
    "02-create-project": 201,
    "03-list-projects": 200,
    "04-create-task": 201,
    "05-pull-everything": 200,
    "06-change-task": 200,
    "07-pull-delta": 200,
    "08-pull-nothing": 200,
    "09-batch": 200,
    "10-batch-base64": 200,
    "11-add-member": 201,
    "12-delete-task": 204,
    "13-preflight": 204,
    "14-without-a-token": 401,
    "15-delete-project": 204,
    "16-pull-wipe": 200,
}

# The answer to a stranger at each path. A redirect would mean that the other function got the request.
ROUTES = {
    "/health": 200,
    "/api/v1/projects": 401,
    "/api/v1/projects/": 401,
    "/api/v1/projects/none": 401,
    "/api/v1/projects/none/": 401,
    "/api/v1/projects/none/sync": 401,
    "/api/v1/projects/none/sync/": 401,
    "/api/v1/projects/none/tasks": 401,
    "/api/v1/projects/none/tasks/": 401,
    "/api/v1/projects/none/tasks/dig": 401,
    "/api/v1/projects/none/tasks/dig/": 401,
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def running(name, command, env=None):
    log = LOGS / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
    try:
        yield process
    except BaseException:
        print(f"--- the end of {log}", *log.read_text().splitlines()[-30:], sep="\n", flush=True)
        raise
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url, process, seconds=600):
    """Until it answers, whatever it answers. The first request has cargo-lambda build the function."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=seconds).close()
        except urllib.error.HTTPError:
            return None
        except OSError as error:
            if process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode} before it listened") from error
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def try_the_routes(port):
    for path, expected in ROUTES.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != expected:
            sys.exit(f"GET {path}: {answer.status} {answer.read()[:200]}, not {expected}")
        connection.close()
    print(f"ok  {len(ROUTES)} routes", flush=True)


def invoke_the_events(port):
    files = sorted(ROOT.glob("tests/events/*.json"))
    if [file.stem for file in files] != list(EVENTS):
        sys.exit(f"tests/events holds {[file.stem for file in files]}, and {list(EVENTS)} are expected")
    for file in files:
        function = "sync" if "/sync" in json.loads(file.read_text())["rawPath"] else "rest"
        command = ["cargo", "lambda", "invoke", function, "-A", "127.0.0.1", "-P", str(port), "--data-file", str(file)]
        answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if answer.returncode or json.loads(answer.stdout)["statusCode"] != EVENTS[file.stem]:
            sys.exit(f"{file.name}: not {EVENTS[file.stem]}, but {answer.stdout}")
        print(f"ok  {function}  {file.name}  {EVENTS[file.stem]}", flush=True)


def main():
    port, engine_port = free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    engine = [LOCAL, "serve", "--port", "0", "--dynamodb-port", str(engine_port)]
    functions = [
        "cargo", "lambda", "watch", "-A", "127.0.0.1", "-P", str(port), "--ignore-changes", "--env-file", "infra/watch.env",
        "--env-var", f"AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:{engine_port},RUST_LOG=warn",
    ]
    settings = dict(line.split("=", 1) for line in (ROOT / "infra/watch.env").read_text().splitlines() if line[:1] != "#")
    secret = settings["JWT_SECRET"]
    with running("engine", engine) as process:
        wait_for(f"http://127.0.0.1:{engine_port}/", process)
        with running("watch", functions) as process:
            for path in ("/health", "/api/v1/projects/none/sync"):  # one of each function
                wait_for(f"{base}{path}", process)
            try_the_routes(port)
            invoke_the_events(port)
            token = subprocess.check_output([LOCAL, "token", "--user", "smoke"], text=True).strip()
            smoke = {**os.environ, "BASE_URL": base, "TOKEN": token}
            subprocess.run([ROOT / "tests/smoke"], env=smoke, check=True)
            client = {**os.environ, "BASE_URL": base, "JWT_SECRET": secret, "NO_LARGE_ANSWERS": "1"}
            subprocess.run(["npm", "test"], cwd=ROOT / "tests/client", env=client, check=True)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
main()
