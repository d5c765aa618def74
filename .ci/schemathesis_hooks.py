"""Requests that schemathesis makes and judges wrongly."""

import schemathesis


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
