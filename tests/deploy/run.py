"""Deploys the result of `sam build` to ministack and tests it. Then breaks the deployment and checks that the tests notice.

    target/ci/sam/bin/python tests/deploy/run.py target/ci/ministack/bin/python target/ci/sam-build

Needs sam on the PATH, and what `npm ci` installs in tests/client.
"""

import base64
import hashlib
import hmac
import itertools
import json
import pathlib
import subprocess
import sys
import time

from stack import Front, Ministack, Stack

TESTS = pathlib.Path(__file__).parent.parent
# All but those that operate on the table past the product.
CLIENT = sorted(path.name for path in (TESTS / "client").glob("*.test.mjs") if path.name != "restore.test.mjs")


def token(secret, user):
    def encode(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = {"sub": user, "exp": int(time.time()) + 3600}
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


class Tried:
    """A deployed template, and the tests of it."""

    def __init__(self, stack, template, **changed):
        self.outputs = stack.deploy(template, **changed)
        self.ministack, self.secret = stack.ministack, stack.secret
        self.front = Front(stack.ministack, self.outputs["BaseUrl"].removeprefix("https://").split(".")[0])
        self.environment = dict(stack.ministack.environment, BASE_URL=self.front.url)

    def smoke(self):
        environment = dict(self.environment, TOKEN=token(self.secret, "smoke"))
        # A 503 is not retried for long, because no fault here goes away by itself.
        command = [TESTS / "smoke", "--patience", "5"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    def live(self, patience):
        api = self.outputs["LiveUrl"].removeprefix("wss://").split(".")[0]
        url = f"{self.ministack.endpoint.replace('http', 'ws')}/_aws/execute-api/{api}/live"
        environment = dict(self.environment, LIVE_URL=url, JWT_SECRET=self.secret, PATIENCE=str(patience))
        command = [self.ministack.python, TESTS / "deploy/live.py"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    def client(self):
        environment = dict(self.environment, JWT_SECRET=self.secret)
        command = ["node", "--test", "--test-timeout=600000", "--test-reporter=dot", *CLIENT]
        subprocess.run(command, cwd=TESTS / "client", env=environment, check=True, timeout=600)


# The changes that break the template, each of which the tests must notice.


def without_action(role, action):
    def change(template):
        policies = template["Resources"][role]["Properties"]["Policies"]
        for policy in policies:
            document = policy["PolicyDocument"]
            for statement in document["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                statement["Action"] = [allowed for allowed in actions if allowed != action]
            document["Statement"] = [statement for statement in document["Statement"] if statement["Action"]]
        policies[:] = [policy for policy in policies if policy["PolicyDocument"]["Statement"]]

    return change


def without_route(function, event):
    return lambda template: template["Resources"][function]["Properties"]["Events"].pop(event)


def without_routes(template):
    for function in ("SyncFunction", "RestFunction"):
        template["Resources"][function]["Properties"]["Events"] = {}


def with_variable(name, value):
    def change(template):
        template["Globals"]["Function"]["Environment"]["Variables"][name] = value

    return change


WRONG = {
    "sync may not Query": without_action("SyncRole", "dynamodb:Query"),
    "no route to sync": without_route("SyncFunction", "Sync"),
    "sync may not BatchGetItem": without_action("SyncRole", "dynamodb:BatchGetItem"),
    "rest may not ConditionCheckItem": without_action("RestRole", "dynamodb:ConditionCheckItem"),
    "no route to rest": without_route("RestFunction", "Rest"),
    "no routes": without_routes,
    "a wrong TABLE_NAME": with_variable("TABLE_NAME", "another"),
    "a JWT_SECRET that is too short": with_variable("JWT_SECRET", "short"),
}


# The same for live updates, with the expected message of the test.
WRONG_LIVE = {
    "poke may not ManageConnections": (without_action("PokeRole", "execute-api:ManageConnections"), "was not told"),
    "live may not BatchWriteItem": (without_action("LiveRole", "dynamodb:BatchWriteItem"), "FAILED"),
    "poke is not woken": (without_route("PokeFunction", "Commits"), "was not told"),
}


def passed(run):
    print(run.stdout, run.stderr, sep="", flush=True)
    run.check_returncode()


def failed(what, run, reason="FAILED"):
    lines = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("FAILED")]
    if run.returncode != 1 or not lines or reason not in lines[0]:
        raise SystemExit(f"{what}: the test did not fail as it should\n{run.stdout}{run.stderr}")
    print(f"{what}: {lines[0]}", flush=True)


def with_live(stack):
    """The template as it is: the smoke test passes, phones are told of changes, and nothing is left of their connections."""
    tried = Tried(stack, stack.template())
    passed(tried.smoke())
    passed(tried.live(patience=30))
    for _ in range(50):
        if not (left := stack.connections()):
            return
        time.sleep(0.2)
    raise SystemExit(f"nobody is connected, and the table has {left}")


def without_live(stack):
    """With Live off nothing is left of it, and everything else is as before."""
    tried = Tried(stack, stack.template(), Live="off")
    if (left := stack.left_of_live()) or "LiveUrl" in tried.outputs:
        raise SystemExit(f"with Live off there is still {left}")
    passed(tried.smoke())
    tried.client()


def main(python, built):
    log = pathlib.Path(built).parent / "deploy.log"
    with Ministack(python, log) as ministack:
        stack = Stack(ministack, built)
        with_live(stack)
        # One change of each list is deployed at once, because a deployment takes longer than a test. The first changes of
        # WRONG do not affect live updates.
        for wrong, wrong_live in itertools.zip_longest(WRONG.items(), WRONG_LIVE.items()):
            template = stack.template()
            what, change = wrong
            change(template)
            if wrong_live:
                what_live, (change_live, reason) = wrong_live
                change_live(template)
            tried = Tried(stack, template)
            failed(what, tried.smoke())
            if wrong_live:
                failed(what_live, tried.live(patience=8), reason)
        without_live(stack)


if __name__ == "__main__":
    main(*sys.argv[1:])
