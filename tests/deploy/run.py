"""Deploys what `sam build` built to ministack, tries it, and shows that trying notices what is wrong with a deployment.

    target/ci/sam/bin/python tests/deploy/run.py target/ci/ministack/bin/python target/ci/sam-build

Needs sam on the PATH, and what `npm ci` installs in tests/client.
"""

import base64
import hashlib
import hmac
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
    """A deployed template, and how it does."""

    def __init__(self, stack, template):
        outputs = stack.deploy(template)
        self.secret = stack.secret
        self.front = Front(stack.ministack, outputs["BaseUrl"].removeprefix("https://").split(".")[0])
        self.environment = dict(stack.ministack.environment, BASE_URL=self.front.url)

    def smoke(self):
        environment = dict(self.environment, TOKEN=token(self.secret, "smoke"))
        # A 503 is not put off for long: nothing here gets better by itself.
        command = [TESTS / "smoke", "--patience", "5"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    def client(self):
        environment = dict(self.environment, JWT_SECRET=self.secret)
        command = ["node", "--test", "--test-timeout=600000", "--test-reporter=dot", *CLIENT]
        subprocess.run(command, cwd=TESTS / "client", env=environment, check=True, timeout=600)


# What is done to the template, and that it shows.


def without_action(role, action):
    def change(template):
        statements = template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        for statement in statements:
            if isinstance(statement["Action"], str):
                statement["Action"] = [statement["Action"]]
            if action in statement["Action"]:
                statement["Action"].remove(action)
        for statement in [statement for statement in statements if not statement["Action"]]:
            statements.remove(statement)

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
    "rest may not ConditionCheckItem": without_action("RestRole", "dynamodb:ConditionCheckItem"),
    "no route to sync": without_route("SyncFunction", "Sync"),
    "no route to rest": without_route("RestFunction", "Rest"),
    "no routes": without_routes,
    "a wrong TABLE_NAME": with_variable("TABLE_NAME", "another"),
    "a JWT_SECRET that is too short": with_variable("JWT_SECRET", "short"),
}


def good(stack):
    """The template as it is, which passes the smoke test."""
    tried = Tried(stack, stack.template())
    smoke = tried.smoke()
    print(smoke.stdout, smoke.stderr, sep="", flush=True)
    smoke.check_returncode()
    return tried


def main(python, built):
    log = pathlib.Path(built).parent / "deploy.log"
    with Ministack(python, log) as ministack:
        stack = Stack(ministack, built)
        good(stack)
        for what, change in WRONG.items():
            template = stack.template()
            change(template)
            smoke = Tried(stack, template).smoke()
            failed = [line for line in (smoke.stdout + smoke.stderr).splitlines() if line.startswith("FAILED")]
            if smoke.returncode != 1 or not failed:
                raise SystemExit(f"{what}: the smoke test did not fail\n{smoke.stdout}{smoke.stderr}")
            print(f"{what}: {failed[0]}", flush=True)
        good(stack).client()


if __name__ == "__main__":
    main(*sys.argv[1:])
