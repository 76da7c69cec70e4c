"""Kinds of bytes and hashes of names, which all parts of the HTML parser share."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from spark_jobs.kernels.compiled import inner, instruction

SPACE, LETTER, DIGIT, HEX, NAME_END, ATTRIBUTE_END, VALUE_END = (1 << i for i in range(7))
"""Kinds of a byte. NAME_END ends the name of a tag, ATTRIBUTE_END that of an attribute, VALUE_END a bare value."""
ALPHANUMERIC = LETTER | DIGIT

SEED = 0xCBF29CE484222325
_PRIME = 0x100000001B3


def _kinds() -> np.ndarray:
    kinds = np.zeros(256, np.uint8)
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    marked = (
        (SPACE | NAME_END | ATTRIBUTE_END | VALUE_END, b" \t\n\f\r"),
        (LETTER, letters),
        (DIGIT, b"0123456789"),
        (HEX, b"0123456789abcdefABCDEF"),
        (NAME_END | ATTRIBUTE_END, b"/>"),
        (ATTRIBUTE_END, b"="),
        (VALUE_END, b">"),
    )
    for mark, members in marked:
        for byte in members:
            kinds[byte] |= mark
    return kinds


KINDS = _kinds()
LOWER = np.frombuffer(bytes(range(256)).lower(), np.uint8)
_P = np.uint64(_PRIME)


def name_hash(name: str) -> int:
    """The 64-bit FNV-1a hash of a name's bytes, which `mix` computes byte by byte."""
    value = SEED
    for byte in name.encode():
        value = ((value ^ byte) * _PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


@inner
def mix(value, byte):
    """Add a byte to a hash."""
    return (value ^ np.uint64(byte)) * _P


@instruction
def copy64(typing: Any, source: Any, start: Any, target: Any, position: Any) -> Any:
    """Copy 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), 64).as_pointer()
        origin = context.make_array(signature.args[0])(context, builder, arguments[0])
        array = context.make_array(signature.args[2])(context, builder, arguments[2])
        block = builder.load(builder.bitcast(builder.gep(origin.data, [arguments[1]]), vector), align=1)
        builder.store(block, builder.bitcast(builder.gep(array.data, [arguments[3]]), vector), align=1)
        return arguments[3]

    return types.int64(source, types.int64, target, types.int64), generate


@instruction
def apart(typing: Any) -> Any:
    """Prevent the function that calls this from being inlined, because compiling it once more would cost too much."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(), generate


@instruction
def joined(typing: Any) -> Any:
    """Inline the function that calls this into its callers, because passing it arrays would cost more than its work."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(), generate
