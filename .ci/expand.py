"""Prints template.yaml as the plain CloudFormation that SAM makes of it, for cfn-lint to look into."""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class ManagedPolicies:
    """The one managed policy SAM gives every function. (The real loader asks AWS.)"""

    def load(self):
        return {"AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


with open(sys.argv[1]) as file:
    template = yaml_parse(file)
# Before `sam package` the code is a local path, which the expansion refuses.
template["Globals"]["Function"]["CodeUri"] = "s3://any-bucket/any-key"
json.dump(transform(template, {}, ManagedPolicies()), sys.stdout, indent=2)
