"""Requests that schemathesis makes and judges wrongly."""

import itertools
import re

import schemathesis

KEY = re.compile("[!-~]{1,255}")
numbers = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    # In a course of requests. A key that an earlier one had gets the answer to that one, and what it created may be deleted since.
    key = (case.headers or {}).get("Idempotency-Key")
    if case.meta and case.meta.phase.name == "stateful" and isinstance(key, str) and KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = f"key-{next(numbers)}"


@schemathesis.hook
def filter_case(context, case) -> bool:
    names = {name.lower() for name in case.headers or {}}
    # An unknown header is no error.
    if "x-schemathesis-unknown-property" in names:
        return False
    # OpenAPI cannot say that one header excludes another, or needs it.
    if {"if-match", "x-base-version"} <= names or ("x-base-fields" in names and "x-base-version" not in names):
        return False
    # OpenAPI cannot say that the keys of an object are different either.
    fields = str((case.headers or {}).get("X-Base-Fields", ""))
    keys = [entry.split(":")[0] for entry in fields.strip("{}").split(",")]
    return len(keys) == len(set(keys))
