"""Spark and a lake in an object store: the jars, the settings, and conditional commits.

Delta's own S3 commit (S3SingleDriverLogStore) checks whether a version exists and then stores it. Two processes may
both find that it does not exist, and then one commit is lost. `ConditionalLogStore` stores the version with
If-None-Match instead, as delta-rs does, so that Spark and delta-rs may write a table at the same time. It is compiled
once, by the compiler that Spark uses for generated code.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.object_store import full_options, refusal, virtual_hosts
from catalog.settings import Settings
from spark_jobs.spark.jars import Wanted, alone, cached_jars
from spark_jobs.spark.java import cache_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AWS_SDK = "2.35.4"
"""The AWS SDK that hadoop-aws 3.5.0 is built with. These parts of it are 13 MB, a small part of its `bundle`."""
AWS_PARTS = ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
ANALYTICS = "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1"
DIGESTS = {"3.5.0": "21a4404755d88d845f9c610f7b0d3783c2321943d90649441a08be656d629a25"}
"""sha256 of the manifest of the jars, by version of Hadoop."""

LOG_STORE = Path(__file__).with_name("ConditionalLogStore.java")
COMPILER = "org.codehaus.commons.compiler.samples.CompilerDemo"
"""Janino's command line, in the jars that come with Spark."""
PROOF = ".conditional-put"
"""Name of the object, under the lake's root, that tests whether the store supports conditional puts."""
CONDITION = "fs.option.create.conditional.overwrite"
"""Hadoop's name for PUT with If-None-Match, since 3.4.2 (HADOOP-19256)."""


def s3a_configuration(options: Mapping[str, str]) -> dict[str, str]:
    """delta-rs's storage options as configuration of Spark and Hadoop's s3a."""
    names = {
        "AWS_ENDPOINT_URL": "spark.hadoop.fs.s3a.endpoint",
        "AWS_REGION": "spark.hadoop.fs.s3a.endpoint.region",
        "AWS_ACCESS_KEY_ID": "spark.hadoop.fs.s3a.access.key",
        "AWS_SECRET_ACCESS_KEY": "spark.hadoop.fs.s3a.secret.key",
        "AWS_SESSION_TOKEN": "spark.hadoop.fs.s3a.session.token",
    }
    return {
        **{names[key]: value for key, value in options.items() if key in names},
        "spark.hadoop.fs.s3a.path.style.access": str(not virtual_hosts(options)).lower(),
        "spark.delta.logStore.s3a.impl": "watershed.ConditionalLogStore",
    }


def object_store_jars(java_home: Path, config: dict[str, str], delta: list[Path]) -> list[Path]:
    """Hadoop's S3A, the parts of the AWS SDK that it needs, and ConditionalLogStore; fetched and compiled once.

    Args:
        java_home: a Java for Spark's resolver and the compiler, from `find_java`.
        config: Spark configuration, whose repositories are used.
        delta: Delta's jars.

    Raises:
        WatershedError: they are not cached and could not be fetched.
    """
    import pyspark

    spark = Path(pyspark.__file__).parent / "jars"
    api = next(spark.glob("hadoop-client-api-*.jar"))
    hadoop = re.sub(r"^hadoop-client-api-|\.jar$", "", api.name)
    wanted = Wanted(
        label="the jars of S3",
        megabytes=20,
        coordinates=(
            f"org.apache.hadoop:hadoop-aws:{hadoop}",
            *(f"software.amazon.awssdk:{part}:{AWS_SDK}" for part in AWS_PARTS),
            ANALYTICS,
        ),
        kept=("org.apache.hadoop_hadoop-aws", "software.amazon.", "org.reactivestreams_"),
        excluded=("software.amazon.awssdk:bundle", "org.wildfly.openssl:wildfly-openssl"),
        digest=DIGESTS.get(hadoop, ""),
    )
    jars = cached_jars(wanted, java_home, config)
    return [
        *jars,
        _log_store(
            java_home, [*spark.glob("janino-*.jar"), *spark.glob("commons-compiler-*.jar")], [api, *delta, *jars]
        ),
    ]


def _log_store(java_home: Path, compiler: list[Path], libraries: list[Path]) -> Path:
    """The jar of ConditionalLogStore, compiled against `libraries` if it is not in the cache."""
    named = hashlib.sha256(LOG_STORE.read_bytes() + "".join(path.name for path in libraries).encode()).hexdigest()
    jar = cache_folder() / "jars" / f"watershed_conditional-log-store-{named[:16]}.jar"
    if jar.exists():
        return jar
    with alone(jar.parent / ".lock"), tempfile.TemporaryDirectory(prefix=".compile-", dir=jar.parent) as folder:
        on_path = [os.pathsep.join(map(str, paths)) for paths in (compiler, libraries)]
        command = [java_home / "bin" / "java", "-cp", on_path[0], COMPILER, "-d", folder, "-classpath", on_path[1]]
        subprocess.run([*command, LOG_STORE], check=True, capture_output=True)
        classes = sorted(Path(folder).rglob("*.class"))
        fresh = Path(folder) / jar.name
        with zipfile.ZipFile(fresh, "w") as archive:
            for path in classes:
                archive.write(path, path.relative_to(folder))
        fresh.replace(jar)
    return jar


def prove_conditional_put(session: SparkSession, settings: Settings) -> None:
    """Check that the store refuses a conditional put (If-None-Match) of an object that exists.

    A store that accepts it would lose one of two commits of the same version. The object stays, so the next check
    needs only one put.

    Raises:
        WatershedError: the store accepted the second put, does not support the condition, or does not answer.
    """
    root = settings.lake_root
    context: Any = session.sparkContext
    path = context._jvm.org.apache.hadoop.fs.Path(f"s3a://{root.removeprefix('s3://')}/{PROOF}")
    answer = _store_once(context, path) or _store_once(context, path) or "it stored a second object of the same name"
    if "RemoteFileChangedException" in answer:
        return
    raise refusal(answer, root, full_options(root, settings.lake.storage_options)) or WatershedError(
        f"{root}: commits rest on PUT with If-None-Match, which the store does not honour: {answer}",
        "use one that does: docs/configuration.md, A lake on S3",
    )


def _store_once(context: Any, path: Any) -> str | None:
    """The error of a conditional put (If-None-Match), or None if the store accepted it."""
    from py4j.protocol import Py4JJavaError

    try:
        store = path.getFileSystem(context._jsc.hadoopConfiguration())
        stream = store.createFile(path).must(CONDITION, True).build()
        stream.writeBytes("Stored on condition that there is none of this name.\n")
        stream.close()
    except Py4JJavaError as error:
        return str(error.java_exception.toString()).splitlines()[0]
    return None
