"""Copying of a few bytes, eight at a time."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from spark_jobs.kernels.compiled import inner, instruction
from spark_jobs.kernels.hashing import load64


@instruction
def store64(typing: Any, target: Any, position: Any, value: Any) -> Any:
    """Write a uint64 to `target[position : position + 8]`, lowest byte first, at any alignment."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte = builder.gep(array.data, [arguments[1]])
        builder.store(arguments[2], builder.bitcast(byte, ir.IntType(64).as_pointer()), align=1)
        return arguments[2]

    return types.uint64(target, types.int64, types.uint64), generate


@inner
def copy_few(data, start, stop, target, position):
    """Copy `data[start:stop]` to `target[position:]`; up to seven bytes after the copy are overwritten too.

    Returns:
        the position after the copy.
    """
    behind = position + stop - start
    while position < behind:
        store64(target, position, load64(data, start))
        start += 8
        position += 8
    return behind
