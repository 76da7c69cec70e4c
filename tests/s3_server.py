"""An S3 server for tests: moto's, as its own process, which serves one request at a time and checks the access key.

One at a time makes PUT with If-None-Match atomic, as it is at S3 itself. WATERSHED_TEST_S3 names the endpoint of
another server to run the tests on (keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY).

    python -m tests.s3_server [--careless]     # --careless: conditions of a PUT are ignored
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ENDPOINT = "WATERSHED_TEST_S3"
KEY, SECRET = "watershed", "secret-of-watershed"
REFUSED = b"<Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>"


@contextmanager
def s3_server(*arguments: str) -> Generator[str]:
    """The endpoint of a server with no buckets."""
    if ENDPOINT in os.environ and not arguments:
        yield os.environ[ENDPOINT]
        return
    pytest.importorskip("moto", reason="moto serves S3 here: install moto[s3], flask and flask-cors")
    pytest.importorskip("flask_cors", reason="moto serves S3 here: install moto[s3], flask and flask-cors")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def options(endpoint: str) -> dict[str, str]:
    """Storage options for the server at `endpoint`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", KEY) if ENDPOINT in os.environ else KEY,
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", SECRET) if ENDPOINT in os.environ else SECRET,
    }


def make_bucket(endpoint: str, name: str) -> str:
    """Make a bucket, and return its URL."""
    import boto3

    credentials = options(endpoint)
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=name)
    return f"s3://{name}"


def serve(careless: bool) -> None:
    """Serve until ended; the port is printed."""
    made, serving = import_module("moto.moto_server.werkzeug_app"), import_module("werkzeug.serving")
    moto, alone = made.DomainDispatcherApplication(made.create_backend_app), threading.Lock()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    def application(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if f"Credential={KEY}/" not in environment.get("HTTP_AUTHORIZATION", ""):
            start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(REFUSED)))])
            return [REFUSED]
        if careless:
            environment.pop("HTTP_IF_NONE_MATCH", None)
        with alone:
            return list(moto(environment, start))

    server = serving.make_server("127.0.0.1", 0, application, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve("--careless" in sys.argv)
