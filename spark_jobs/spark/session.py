"""The Spark session of this process, started when it is first needed, with Delta and without Spark's log output."""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import WatershedError
from catalog.files import write_whole
from catalog.lake import Lake
from catalog.object_store import full_options, is_object_store
from catalog.settings import Settings
from spark_jobs.spark.failures import JavaEnded, java_ended, one_line
from spark_jobs.spark.jars import delta_jars
from spark_jobs.spark.java import cache_folder, choose_java
from spark_jobs.spark.java_cache import OLDEST, cache_options, make_cache_in_background
from spark_jobs.spark.s3a import object_store_jars, prove_conditional_put, s3a_configuration

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}

ALWAYS = {
    "spark.app.name": "watershed",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    # A batch of documents is up to 16 MB of text; rows of narrow tables go by the ten thousand.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
    "spark.sql.maxConcurrentOutputFileWriters": "4",
}

LOCAL = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.python.worker.reuse": "true",
}
"""Small local jobs spend their time on tasks and planning, not on data, so there are few partitions and no UI."""

CLUSTER = {
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.optimizer.canChangeCachedPlanOutputPartitioning": "true",
    "spark.python.worker.reuse": "true",
}
"""On a cluster a partition is as large as AQE's advisory size, not as small as there are cores for: each task of a
Python stage costs its worker a start. Delta would read the log of a table in 50 tasks at every read and write. What is
persisted would keep 200 partitions however small it is, and the driver reads one partition in a job of its own."""

WORKERS_KNOW = ("NUMBA_CACHE_DIR", "WATERSHED_KERNELS", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
"""Environment variables of the driver that its executors get too: where kernels' machine code lies."""

LOCAL_JAVA = "-XX:+UseSerialGC"
"""Java's second compiler stays on: once warm, it cuts planning, most of the cost of a small partition, by a third."""

QUIET = """\
status = error
rootLogger.level = fatal
rootLogger.appenderRef.console.ref = console
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = fatal
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex{0}
"""
"""Log4j's configuration from the start; Spark reads its own log level too late to silence the first lines. A failed job
raises an exception, so its log messages below `fatal` would only repeat it."""

_sessions: dict[str, SparkSession] = {}
_starting = threading.RLock()
_without_cache = threading.Event()


def spark_session(settings: Settings) -> SparkSession:
    """The session that `settings` describe. The first call starts it; it stops when the process exits.

    Raises:
        WatershedError: there is no Java, Delta's jars cannot be fetched, the master or Connect server does not answer,
            or the lake's object store does not answer or could lose commits.
    """
    described = f"{settings.spark!r} {_options(settings)!r}"
    with _starting:
        if described not in _sessions:
            stop_session()
            _sessions[described] = _connect(settings) if settings.spark.remote else _start(settings)
        return _sessions[described]


def stop_session() -> None:
    """Stop the session of this process, if there is one."""
    with _starting:
        while _sessions:
            _, session = _sessions.popitem()
            # The JVM may be gone already: Ctrl+C reaches it too.
            with suppress(Exception):
                session.stop()


def make_lacking_cache() -> None:
    """Start to make Java's cache in the background if a session of this process could have used one and had none."""
    if _without_cache.is_set():
        make_cache_in_background()


atexit.register(stop_session)


def _connect(settings: Settings) -> SparkSession:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    try:
        session = SparkSession.builder.remote(settings.spark.remote).getOrCreate()
        for key, value in settings.spark.config.items():
            session.conf.set(key, value)
        session.conf.set("spark.sql.session.timeZone", "UTC")
    except (PySparkException, OSError) as error:
        raise WatershedError(
            f"[spark] remote = {settings.spark.remote!r}: {str(error).splitlines()[0]}",
            "start the Spark Connect server, or leave the entry out to compute on this machine",
        ) from error
    return session


def _start(settings: Settings) -> SparkSession:
    import pyspark
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    java_home, version = choose_java(settings.spark)
    jars = delta_jars(java_home, settings.spark.config)
    if is_object_store(settings.lake_root):
        # Hadoop would retry for minutes if the server does not answer.
        Lake.of(settings).reach()
        jars += object_store_jars(java_home, settings.spark.config, jars)
    os.environ["JAVA_HOME"] = str(java_home)
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(settings.spark.master)
    cached = cache_options(java_home, version)
    if not cached and version >= OLDEST:
        _without_cache.set()
    for key, value in configuration(settings, jars, cached).items():
        builder = builder.config(key, value)
    handler = signal.getsignal(signal.SIGINT)
    try:
        session = builder.getOrCreate()
    except (PySparkException, Py4JError, OSError) as error:
        if java_ended(error):
            raise JavaEnded.before(f"Spark did not start on {settings.spark.master}") from error
        raise WatershedError(
            f"Spark did not start on {settings.spark.master}: {one_line(str(error))}",
            f"check [spark] master, config and driver_memory ({settings.spark.driver_memory})",
        ) from error
    if handler is not signal.default_int_handler and threading.current_thread() is threading.main_thread():
        # Spark's handler calls Java from within the call that it interrupts, and replaces that of a program that ends.
        signal.signal(signal.SIGINT, handler)
    session.sparkContext.setLogLevel("FATAL")
    if is_object_store(settings.lake_root):
        try:
            prove_conditional_put(session, settings)
        except WatershedError:
            session.stop()
            raise
    return session


def configuration(settings: Settings, jars: list[Path], java: Sequence[str] = ()) -> dict[str, str]:
    """Spark's configuration for `settings`, with options of Java; `[spark] config` overrides it."""
    local = settings.spark.master.startswith("local")
    java = [f"-Dlog4j2.configurationFile=file:{_quiet_file()}", *([LOCAL_JAVA] if local else []), *java]
    scratch = Path(tempfile.gettempdir()) / f"watershed-spark-{os.getuid()}"
    configured = dict(settings.spark.config)
    # The user's JVM options are added to ours; any other entry of the user replaces ours.
    java.append(configured.pop("spark.driver.extraJavaOptions", ""))
    return {
        **ALWAYS,
        **DELTA,
        **({**LOCAL, **_partitions(settings.spark.master)} if local else CLUSTER),
        **{f"spark.executorEnv.{name}": os.environ[name] for name in WORKERS_KNOW if name in os.environ},
        "spark.jars": ",".join(map(str, jars)),
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.driver.extraJavaOptions": " ".join(java).strip(),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        **(s3a_configuration(_options(settings)) if is_object_store(settings.lake_root) else {}),
        **configured,
    }


def _options(settings: Settings) -> dict[str, str]:
    return full_options(settings.lake_root, settings.lake.storage_options)


def _partitions(master: str) -> dict[str, str]:
    """One partition for each worker, but at least two, so that a dependence on partitions shows on any machine."""
    local = re.fullmatch(r"local\[(\d+)[\d,]*\]", master)
    workers = int(local.group(1)) if local else 1 if master == "local" else os.cpu_count() or 1
    count = str(max(workers, 2))
    return {"spark.sql.shuffle.partitions": count, "spark.default.parallelism": count}


def _quiet_file() -> Path:
    """The file that holds QUIET."""
    target = cache_folder() / "spark" / "log4j2.properties"
    if not target.exists() or target.read_text() != QUIET:
        write_whole(target, QUIET.encode())
    return target
