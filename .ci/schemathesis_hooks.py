"""Requests that schemathesis makes and judges wrongly."""

import schemathesis


@schemathesis.hook
def filter_case(context, case) -> bool:
    names = {name.lower() for name in case.headers or {}}
    # A header that nobody knows is no error; and that of these two one excludes the other, OpenAPI cannot say.
    return "x-schemathesis-unknown-property" not in names and not {"if-match", "x-base-version"} <= names
