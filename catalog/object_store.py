"""A lake in an object store that speaks S3: what delta-rs, DuckDB and Spark are told of it, and what its refusals mean.

Options are named as delta-rs names them, in either case, with or without `AWS_`; what is not said is taken from the
environment's AWS_ variables, so that all three readers hear the same.
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
"""Every option that all three readers need, and the names it goes by; the environment knows those with AWS_."""

RETRIES = "5"
"""delta-rs's own 10, each after twice the pause of the last, keep a command silent for a minute where no server is."""

SETTING = "in [lake] storage_options or the environment"

REFUSALS = (
    (
        r"NoSuchBucket|specified bucket does not exist",
        "there is no such bucket",
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
        r"error sending request|Connection refused|UnknownHostException|dns error|timed out",
        "no answer from the server",
        f"start it, or mend AWS_ENDPOINT_URL {SETTING}",
    ),
)
"""How delta-rs and Spark's S3A tell of a store that does not serve: what they say, the cause, the mend."""


def is_object_store(root: str) -> bool:
    """The lake is no folder."""
    return "://" in root


def full_options(root: str, said: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`said` under the names of NAMES, with what the environment and the server's address add; a folder's as it is."""
    if not is_object_store(root):
        return dict(said)
    given = {key.upper(): value for key, value in said.items()}
    named = {alias for aliases in NAMES.values() for alias in aliases}
    full = {"max_retries": RETRIES, **{key: value for key, value in said.items() if key.upper() not in named}}
    for name, aliases in NAMES.items():
        from_environment = (environment.get(alias) for alias in aliases if alias.startswith("AWS_"))
        if value := next(filter(None, (*(given.get(alias) for alias in aliases), *from_environment)), None):
            full[name] = value
    if endpoint := full.get("AWS_ENDPOINT_URL"):
        full["AWS_ENDPOINT_URL"] = endpoint = endpoint if "://" in endpoint else f"https://{endpoint}"
        full.setdefault("AWS_REGION", "us-east-1")
        if endpoint.startswith("http://"):
            full.setdefault("AWS_ALLOW_HTTP", "true")
    return full


def virtual_hosts(options: Mapping[str, str]) -> bool:
    """The bucket is part of the host's name: always at AWS itself, only on request elsewhere."""
    if "AWS_ENDPOINT_URL" not in options:
        return True
    return options.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false").lower() == "true"


def refusal(error: object, root: str, options: Mapping[str, str]) -> WatershedError | None:
    """The WatershedError of a store that does not serve; None where `error` tells of something else."""
    said = str(error)
    where = f"{root} at {options['AWS_ENDPOINT_URL']}" if "AWS_ENDPOINT_URL" in options else root
    for pattern, cause, mend in REFUSALS:
        if re.search(pattern, said):
            return WatershedError(f"{where}: {cause}", mend)
    return None
