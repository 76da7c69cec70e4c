"""Failures of Spark jobs are reported in one line each."""

from __future__ import annotations

import pickle
import socket

import pytest

from catalog.errors import WatershedError
from spark_jobs.spark.failures import LONGEST, JavaEnded, mendable, one_line

CONCURRENT = """An error occurred while calling o171.save.
: io.delta.exceptions.ConcurrentAppendException: [DELTA_CONCURRENT_APPEND.WITH_PARTITION_HINT] Transaction conflict
detected. A concurrent OPTIMIZE added data to the partition.
\tat org.apache.spark.sql.delta.DeltaErrorsBase.concurrentAppendException(DeltaErrors.scala:2363)
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""
WORKER = """An error occurred while calling o99.save.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "worker.py", line 3, in pages
    raise ValueError("LONG")
ValueError: no page has the number 3

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(PythonRunner.scala:581)
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""


def test_the_line_of_a_java_message_is_that_of_its_cause() -> None:
    assert one_line(CONCURRENT).startswith("[DELTA_CONCURRENT_APPEND.WITH_PARTITION_HINT] Transaction conflict")
    assert one_line("java.lang.IllegalArgumentException: no such file\n\tat X.y(Z.java:1)") == "no such file"
    assert one_line("plain\nand more") == "plain"


def test_the_line_of_a_python_worker_is_what_it_raised() -> None:
    assert one_line(WORKER) == "ValueError: no page has the number 3"


def test_a_document_in_a_message_is_cut() -> None:
    assert len(one_line("ValueError: " + "word " * 10_000)) == LONGEST


def test_a_table_that_another_process_writes_is_named() -> None:
    error = mendable(RuntimeError(CONCURRENT), "dclm.documents")
    assert isinstance(error, WatershedError)
    assert error.cause == "dclm.documents was not written: another process wrote it at the same time"
    assert "is not made again" in error.mend


def test_a_java_process_that_is_gone_is_reported_as_such() -> None:
    from py4j.java_gateway import GatewayParameters, JavaGateway

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    with pytest.raises(Exception) as failed:
        gateway.detach(gateway.new_jvm_view())
    error = mendable(failed.value, "dclm.documents")
    assert isinstance(error, JavaEnded)
    assert "Spark's Java process ended" in error.cause
    assert pickle.loads(pickle.dumps(error)).cause == error.cause


def test_other_connections_and_bugs_are_left_as_they_are() -> None:
    for error in (ConnectionRefusedError(111, "Connection refused"), ZeroDivisionError(), RuntimeError("bug")):
        assert mendable(error, "dclm.documents") is error
