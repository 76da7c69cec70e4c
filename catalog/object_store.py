"""A lake in an object store with the S3 API: the options of delta-rs, DuckDB and Spark, and the meaning of its errors.

Options have the names that delta-rs gives them, in either case, with or without `AWS_`. Missing options are taken from
the AWS_ variables of the environment, so that all three readers use the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from catalog.errors import WatershedError

NAMES = {
    "AWS_ENDPOINT_URL": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "ENDPOINT_URL", "ENDPOINT", "AWS_ENDPOINT_URL_S3"),
    "AWS_REGION": ("AWS_REGION", "REGION", "AWS_DEFAULT_REGION", "DEFAULT_REGION"),
    "AWS_ACCESS_KEY_ID": ("AWS_ACCESS_KEY_ID", "ACCESS_KEY_ID"),
    "AWS_SECRET_ACCESS_KEY": ("AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY"),
    "AWS_SESSION_TOKEN": ("AWS_SESSION_TOKEN", "SESSION_TOKEN", "AWS_TOKEN", "TOKEN"),
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "VIRTUAL_HOSTED_STYLE_REQUEST"),
}
"""Every option that all three readers need, with its names; environment variables are those that begin with AWS_."""

RETRIES = "5"
"""delta-rs tries 10 times by default, with doubled pauses: a command would wait a minute for a missing server."""

FIRST_REQUEST = {"timeout": "4s", "connect_timeout": "4s", "max_retries": "1"}
"""Options of the first request of a process, so that a server that never answers is reported within ten seconds."""

SETTING = "in [lake] storage_options or the environment"

REFUSALS = (
    (
        r"NoSuchBucket|specified bucket does not exist",
        "the bucket does not exist",
        "make it, or name another in [lake] root",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|InvalidToken|ExpiredToken|403 Forbidden|Code: 403",
        "the server does not accept the key",
        f"check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY {SETTING}",
    ),
    (
        r"CredentialsNotLoaded|[Nn]ot load credentials|NoAuthWithAWSException|169\.254\.169\.254",
        "no key to sign requests with",
        f"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY {SETTING}",
    ),
    (
        r"PermanentRedirect|AuthorizationHeaderMalformed|301 Moved",
        "the bucket lies in another region",
        f"set AWS_REGION {SETTING}",
    ),
    (
        r"Error performing list request[\s\S]*non-2xx status code",
        "the server does not answer as an object store does",
        f"check AWS_ENDPOINT_URL {SETTING}",
    ),
    (
        r"error sending request|Connection refused|UnknownHostException|dns error|timed out",
        "no answer from the server",
        f"start it, or correct AWS_ENDPOINT_URL {SETTING}",
    ),
)
"""Errors of delta-rs and of Spark's S3A about the object store: a pattern of the message, the cause, the mend."""


def is_object_store(root: str) -> bool:
    """Whether `root` is a URL such as s3://bucket/prefix rather than a folder."""
    return "://" in root


def full_options(root: str, given: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The options `given` under the names of NAMES, completed from the environment; those of a folder are unchanged."""
    if not is_object_store(root):
        return dict(given)
    upper = {key.upper(): value for key, value in given.items()}
    named = {alias for aliases in NAMES.values() for alias in aliases}
    full = {"max_retries": RETRIES, **{key: value for key, value in given.items() if key.upper() not in named}}
    for name, aliases in NAMES.items():
        from_environment = (environment.get(alias) for alias in aliases if alias.startswith("AWS_"))
        if value := next(filter(None, (*(upper.get(alias) for alias in aliases), *from_environment)), None):
            full[name] = value
    if endpoint := full.get("AWS_ENDPOINT_URL"):
        full["AWS_ENDPOINT_URL"] = endpoint = endpoint if "://" in endpoint else f"https://{endpoint}"
        full.setdefault("AWS_REGION", "us-east-1")
        if endpoint.startswith("http://"):
            full.setdefault("AWS_ALLOW_HTTP", "true")
    return full


def virtual_hosts(options: Mapping[str, str]) -> bool:
    """Whether the bucket is part of the host name: always at AWS, only on request elsewhere."""
    if "AWS_ENDPOINT_URL" not in options:
        return True
    return options.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false").lower() == "true"


def refusal(error: object, root: str, options: Mapping[str, str]) -> WatershedError | None:
    """The WatershedError for an error of the object store; None if `error` has another cause."""
    message = str(error)
    where = f"{root} at {options['AWS_ENDPOINT_URL']}" if "AWS_ENDPOINT_URL" in options else root
    for pattern, cause, mend in REFUSALS:
        if re.search(pattern, message):
            return WatershedError(f"{where}: {cause}", mend)
    return None
