"""A deployment of the built template on ministack, which enforces what the roles allow."""

import http.client
import http.server
import json
import os
import pathlib
import secrets
import socket
import subprocess
import threading
import time

import boto3
from samcli.yamlhelper import yaml_dump, yaml_parse

HERE = pathlib.Path(__file__).parent
STACK = "trueppm"
BUCKET = "artifacts"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Ministack:
    """The emulator, until the with statement ends."""

    def __init__(self, python, log):
        port = free_port()
        self.python = python
        self.endpoint = f"http://127.0.0.1:{port}"
        # Its own credentials are the account's: everyone else has what a role allows.
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SAM_CLI_TELEMETRY": "0",
        }
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            [python, HERE / "emulator.py"], env=self.environment, stdout=self.log, stderr=subprocess.STDOUT
        )
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f"ministack ended: see {log}")
                time.sleep(0.2)
        raise SystemExit(f"ministack does not listen: see {log}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


class Stack:
    """The stack, made by `sam deploy` from the built template and what a test changes in it."""

    def __init__(self, ministack, built):
        self.ministack, self.built, self.revision = ministack, pathlib.Path(built), 0
        ministack.client("s3").create_bucket(Bucket=BUCKET)
        self.secret = secrets.token_hex(32)
        stored = ministack.client("secretsmanager").create_secret(Name="tokens", SecretString=self.secret)
        self.secret_arn = stored["ARN"]

    def template(self):
        """The built template without what ministack does not know; what is left out is printed once."""
        template = yaml_parse((self.built / "template.yaml").read_text())
        for name in [name for name, resource in template["Resources"].items() if "Metrics" in resource["Properties"]]:
            del template["Resources"][name]
            if not self.revision:
                print(f"left out: {name} (ministack adds up no metrics)")
        for name, resource in template["Resources"].items():
            if resource["Properties"].pop("DeploymentPreference", None) and not self.revision:
                print(f"left out: DeploymentPreference of {name} (ministack has no AWS::CodeDeploy)")
        # Where ministack has the connections of a WebSocket API.
        variables = template["Resources"]["PokeFunction"]["Properties"]["Environment"]["Variables"]
        variables["LIVE_API_URL"] = {"Fn::Sub": f"{self.ministack.endpoint}/_aws/execute-api/${{LiveApi}}/live"}
        return template

    def deploy(self, template, **changed):
        """Deploys a template, with parameters that differ from the usual ones, and answers the outputs."""
        self.revision += 1
        file = self.built / "deployed.yaml"
        file.write_text(yaml_dump(template))
        parameters = {"Architecture": "x86_64", "JwtSecretArn": self.secret_arn, "Revision": self.revision}
        # One user writes the largest rows there are, twenty at a time.
        parameters["CallerUnitsBurst"] = 10_000_000
        parameters |= {"Live": "on"} | changed
        command = ["sam", "deploy", "--template-file", file, "--stack-name", STACK, "--s3-bucket", BUCKET]
        command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar", "--parameter-overrides"]
        command += [f"{name}={value}" for name, value in parameters.items()]
        done = subprocess.run(command, env=self.ministack.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"sam deploy failed:\n{done.stdout}\n{done.stderr}")
        described = self.ministack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def left_of_live(self):
        """What is deployed of Live, by logical name or description."""
        listed = self.ministack.client("cloudformation").list_stack_resources(StackName=STACK)["StackResourceSummaries"]
        left = [resource["LogicalResourceId"] for resource in listed]
        left = [name for name in left if name.startswith(("Live", "Poke"))]
        for api in self.ministack.client("apigatewayv2").get_apis()["Items"]:
            if api["ProtocolType"] == "WEBSOCKET":
                left.append(f"the API {api['ApiId']}")
        for mapping in self.ministack.client("lambda").list_event_source_mappings()["EventSourceMappings"]:
            left.append(f"the mapping of {mapping['EventSourceArn']}")
        table = self.ministack.client("dynamodb").describe_table(TableName=self.table())["Table"]
        if table.get("StreamSpecification", {}).get("StreamEnabled"):
            left.append("the stream")
        return left

    def table(self):
        listed = self.ministack.client("cloudformation").list_stack_resources(StackName=STACK)["StackResourceSummaries"]
        return next(resource["PhysicalResourceId"] for resource in listed if resource["LogicalResourceId"] == "Table")

    def connections(self):
        """The items that say who is connected and watches what."""
        pages = self.ministack.client("dynamodb").get_paginator("scan").paginate(TableName=self.table())
        keys = [(item["project_id"]["S"], item["entity"]["S"]) for page in pages for item in page["Items"]]
        return [key for key in keys if key[0].startswith(("live#", "connection#", "unwatched#"))]


class Front(http.server.ThreadingHTTPServer):
    """The API at the root of an address, as BaseUrl is on AWS. Ministack has it below a path, or at a name that not every
    host resolves, where it answers /health itself."""

    daemon_threads = True

    def __init__(self, ministack, api):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def forward(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                upstream = http.client.HTTPConnection(ministack.endpoint.removeprefix("http://"), timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "host")}
                upstream.request(self.command, f"/_aws/execute-api/{api}/$default{self.path}", body, headers)
                response = upstream.getresponse()
                answer = response.read()
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                upstream.close()

            do_GET = do_POST = do_PATCH = do_DELETE = do_OPTIONS = do_PUT = forward

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()
