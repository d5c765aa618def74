"""Types what the documents tell people to type, and compares what comes back with what they show. Wants cargo, bash and curl.

Every command in a block of shell or between backticks is typed here, or belongs to another stage of .ci/run, or is not for this
machine, with the reason. A command that is in none of the lists fails, and so does an entry that is in no document.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The server writes no line for each request.
os.environ.setdefault("RUST_LOG", "warn")
DOCUMENTS = ["README.md", ".github/CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("infra/docs/*.md"))]
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:cargo|sam|npm|pip|git|\.ci/run|tests/smoke|tests/mutants/run|tests/deploy/arm64)(?: |$)")

# These commands are started, called and stopped. They get --port, because 8080 may be taken.
SERVED = {
    "cargo run -p trueppm -- demo": "/",
    "cargo run -p trueppm -- serve": "/health",
}

# These commands are typed on one local stack, which is the server and the table that commands find by default. Some words are
# replaced by their meaning, or for brevity.
TYPED = {
    "cargo run -q -p trueppm --": {"--": "-- help"},
    # The output is not written to the files that are checked in. `cargo test` compares them.
    "cargo run -p trueppm -- openapi > infra/api/openapi.json": {"infra/api/openapi.json": "/dev/null"},
    "cargo run -p trueppm -- typescript > infra/api/trueppm.ts": {"infra/api/trueppm.ts": "/dev/null"},
    "cargo run -p trueppm -- pages": {"pages": "pages --check"},
    "cargo run -q -p trueppm -- import infra/cli/examples/house --dry-run": {},
    "cargo run -q -p trueppm -- import infra/cli/examples/house": {},
    "cargo run -q -p trueppm -- pull --project lakehouse --since 9": {},
    "cargo run -q -p trueppm -- export target/plan --project lakehouse": {},
    "cargo run -q -p trueppm -- import target/plan --project copy": {},
    "cargo run -q -p trueppm -- import infra/cli/examples/boathouse.xml --map-users infra/cli/examples/users.csv --add-members": {},
    "cargo run -q -p trueppm -- export target/boathouse.xml --project boathouse --force": {},
    "cargo run -q -p trueppm -- verify --dynamodb-url http://127.0.0.1:8000": {},
    # This command runs until Ctrl-C.
    "cargo run -q -p trueppm -- watch --project lakehouse --dynamodb-url http://127.0.0.1:8000": {
        "cargo": "timeout --preserve-status --signal INT 5 cargo"
    },
    # A small one is enough for a test.
    "cargo run -q -p trueppm -- import target/large.xml": {
        "cargo": "python3 infra/cli/examples/large.py 300 400 > target/large.xml && cargo"
    },
    "cargo run -p trueppm -- token --user mia": {},
    "cargo run -p trueppm -- verify --table-name T": {"T": "trueppm"},
    "cargo run -p trueppm -- restore --table-name T": {"T": "trueppm"},
    "cargo test -p tests --test it cost:: -- --nocapture --include-ignored": {},
    "ADVERSARY_SOAK=30 cargo test -p adversary half_an_hour -- --nocapture": {"ADVERSARY_SOAK=30": "ADVERSARY_SOAK=1"},
    "ADVERSARY_SEED=7 ADVERSARY_TRACE=200 cargo test -p adversary converge -- --nocapture": {},
    "git apply tests/adversary/exponential_backoff.patch": {"apply": "apply --check"},
    # The profile that is compiled already is enough for a test. The figures in the documents are from the release profile.
    "cargo bench -p tests --bench pull": {"bench": "bench --profile dev", "pull": "pull -- 100 1000"},
    "cargo bench -p tests --bench growth": {"bench": "bench --profile dev", "growth": "growth -- 100"},
    "cargo bench -p tests --bench reference": {"bench": "bench --profile dev"},
    "cargo bench -p tests --bench import": {"bench": "bench --profile dev", "import": "import -- 1000"},
    "cargo bench -p tests --bench start": {"bench": "bench --profile dev"},
    "tests/mutants/run": {"tests/mutants/run": "SEEDS=0..2 tests/mutants/run mark_without_proof"},
}

# The stage of .ci/run that types the command, or does the same.
STAGES = {
    "cargo test --workspace": "test",
    "cargo test": "test",
    "cargo test --workspace --lib": "test",
    "cargo test -p adversary": "test",
    "cargo test -p model": "test",
    "cargo doc --document-private-items --open": "doc",
    "npm test": "client",
    "npm ci && npm test": "client",
    "cargo build": "client",
    "cargo test -p tests --test it reference::": "test",
    "cargo test -p tests --test it live_socket:: -- --nocapture": "test",
    "cargo test -p adversary lag -- --nocapture": "test",
    "CONTENTION_SECONDS=30 cargo test -p adversary contention -- --nocapture": "test",
    "ADVERSARY_SEEDS=0..230 cargo test -p adversary -- --nocapture": "test",
    "cargo test -p adversary a_seed_is_one_course_of_events": "test",
    "npm run stack": "stack",
    "npm run size": "package",
    "npm ci --ignore-scripts && npm pack": "package",
    "npm run example": "package",
    "BASE_URL=… JWT_SECRET=… npm test": "lambda",
    "tests/smoke": "lambda",
    "BASE_URL=https://… TOKEN=… tests/smoke": "lambda",
    "cargo run -p trueppm -- serve --dynamodb-port 8000": "lambda",
    "pip install cargo-lambda ziglang": "lambda",
    "cargo lambda watch -A 127.0.0.1 --env-file infra/watch.env": "lambda",
    "cargo lambda invoke rest -A 127.0.0.1 --data-file tests/events/02-create-project.json": "lambda",
    "cargo lambda invoke sync -A 127.0.0.1 --data-file tests/events/05-pull-everything.json": "lambda",
    "sam validate --lint": "template",
    "sam build": "deploy",
    "sam build --parameter-overrides Architecture=x86_64": "deploy",
    "sam build && sam deploy --guided": "deploy",
}

NOT_HERE = {
    ".ci/run": "this is part of it",
    "cargo test -p tests --test it NAME": "any test of a stage",
    "tests/mutants/run NAME": "any mutant: one is typed above",
    "npm install PATH/TO/trueppm-sync-0.1.0.tgz @nozbe/watermelondb @react-native-community/netinfo": "in somebody's app",
    "npm install @nozbe/watermelondb@0.28 @react-native-community/netinfo": "the same",
    "npm install -D @babel/plugin-proposal-decorators": "the same",
    "cargo bench --profile dev -p tests --bench herd": "many devices read a large project: too long for each change",
    "npm run mutants": "plays many worlds for each rule: too long for each change",
    "npm run mutants -- NAME": "the same",
    "npm run mutants -- --table --worlds 150 NAME …": "the same",
    "git diff": "shows what somebody has changed",
    "tests/deploy/arm64": "compiles everything once more and downloads a compiler: too long for each change, and a part of each release",
    "cargo build --release -p ops": "takes minutes; the client stage builds all of it in another profile",
    "sam deploy": "needs an account",
    "sam deploy --parameter-overrides Revision=$(date +%s)": "the same",
    "sam deploy --parameter-overrides Revision=2 …": "the same",
    "sam deploy --parameter-overrides Revision=3 JwtSecretArn=<none> …": "the same",
    "sam deploy --stack-name trueppm-dev --resolve-s3 --capabilities CAPABILITY_IAM --parameter-overrides Architecture=x86_64 Stage=dev "
    "AlarmEmail=… JwtSecretArn=arn:aws:secretsmanager:… Revision=1": "the same",
    "sam deploy --stack-name trueppm-dev --resolve-s3 --capabilities CAPABILITY_IAM --parameter-overrides Architecture=x86_64 "
    "Revision=$(date +%s)": "the same",
    "sam delete --stack-name <stack>": "the same",
    "sam build --template-file moved.yaml": "builds a template that exists while a stack moves to another table",
    "cargo mutants -p shared -f 'shared/src/domain/**/*.rs' -- --lib": "takes hours",
    "cargo mutants -p sync -f 'functions/sync/src/{proof,pull,ranges,body,strong_reads,encoding,migration,outcome}.rs' -- --workspace --lib": (
        "the same"
    ),
}


def commands_of(text):
    """Every command of a document, those of blocks line by line without their comments. A line of a longer one is part of it."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.M | re.S):
        lines = [line.strip() for line in block.splitlines()]
        if "call " not in block:
            yield from (re.sub(r"\s+#.*", "", line) for line in lines if COMMAND.match(line))
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    for span in re.findall(r"`([^`]+)`", prose):
        if COMMAND.match(span):
            yield re.sub(r"\s+", " ", span)


@contextlib.contextmanager
def running(command):
    """A command that serves, and what it said when it was ready."""
    process = subprocess.Popen(shlex.split(command), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        said = {}
        for line in process.stdout:
            key, _, value = line.strip().partition(" ")
            said.setdefault(key, value.strip())
            if key == "listening":
                break
        else:
            sys.exit(f"{command}: ended before it was ready")
        yield said["listening"].removeprefix("on "), said
    finally:
        process.terminate()
        process.wait(30)


def blocks_of_calls(text):
    """The blocks that `call`, each with the block of JSON behind it, or with nothing."""
    blocks = re.findall(r"^```sh\n(.*?)^```\n(?:\n```json\n(.*?)^```\n)?", text, re.M | re.S)
    return [(typed, printed) for typed, printed in blocks if "call " in typed]


def walk_through(name, blocks, address):
    """Types these blocks in one shell: each is answered as the block of JSON behind it says, and by no problem."""
    script = "\necho ---\n".join(typed for typed, _ in blocks).replace("http://127.0.0.1:8080", address)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answers = done.stdout.split("---\n")
    for (typed, printed), answered in zip(blocks, answers, strict=True):
        lines = [line for line in answered.splitlines() if line]
        # The documents show the answers to the last ones.
        if printed and lines[-len(printed.splitlines()) :] != printed.splitlines():
            sys.exit(f"typed:\n{typed}\nanswered:\n{answered}\n{name} shows:\n{printed}")
        if problems := [line for line in lines if "code" in json.loads(line)]:
            sys.exit(f"typed:\n{typed}\nanswered:\n{problems}")
    compared = sum(1 for _, printed in blocks if printed)
    print(f"ok  {name}: {len(blocks)} blocks of calls, {compared} of them compared", flush=True)


def main():
    texts = {name: (ROOT / name).read_text() for name in DOCUMENTS}
    found = {command: name for name, text in texts.items() for command in commands_of(text)}
    known = SERVED | TYPED | STAGES | NOT_HERE
    unknown = [f"{name}: {command}" for command, name in found.items() if command not in known]
    stale = [command for command in known if command not in found]
    if unknown or stale:
        sys.exit("\n".join(["in no list of .ci/readme.py:", *unknown, "in no document:", *stale]))
    stages = re.findall(r"^(?:stage|beside) (\w+)", (ROOT / ".ci/run").read_text(), re.M)
    if missing := set(STAGES.values()) - set(stages):
        sys.exit(f".ci/run has no stage {missing}")

    for command, path in SERVED.items():
        with running(f"{command} --port 0") as (address, _):
            urllib.request.urlopen(address + path, timeout=30).close()
        print(f"ok  {command}", flush=True)
    # Each document gets a server of its own, as its reader has it.
    for name, blocks in ((name, blocks_of_calls(text)) for name, text in texts.items()):
        if not blocks:
            continue
        with running("cargo run -p trueppm -- serve --port 0") as (address, _):
            walk_through(name, blocks, address)

    # The command does not overwrite the export of the last run.
    shutil.rmtree(ROOT / "target/plan", ignore_errors=True)
    with running("cargo run -p trueppm -- serve --port 0") as (address, said):
        endpoint = re.search(r"http://[^,\s]+", said["table"])[0]
        keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
        environment = os.environ | keys | {"AWS_ENDPOINT_URL_DYNAMODB": endpoint, "BASE_URL": address}
        for command in TYPED:
            typed = command.replace("http://127.0.0.1:8000", endpoint)
            for word, value in TYPED[command].items():
                typed = re.sub(rf"(?<!\S){re.escape(word)}(?!\S)", lambda _: value, typed)
            started = time.monotonic()
            done = subprocess.run(["bash", "-c", typed], cwd=ROOT, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{typed}: {done.returncode}\n{done.stdout}{done.stderr}")
            print(f"ok  {command}  {time.monotonic() - started:.0f} s", flush=True)
    print(f"ok  {len(STAGES)} more in other stages, {len(NOT_HERE)} not for this machine", flush=True)


main()
