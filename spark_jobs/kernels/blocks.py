"""Comparisons of 64 bytes at once: a uint64 mask of the bytes that equal a value or lie in a range.

Bit i of a mask stands for `data[position + i]`. The vectors are LLVM's, which compiles them to the instructions that
the processor has (AVX-512, AVX2, SSE2, NEON). The caller makes sure that 64 bytes can be read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from spark_jobs.kernels.compiled import inner, instruction

_BYTE = ir.IntType(8)
_VECTOR = ir.VectorType(_BYTE, 64)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    start = builder.gep(array.data, [arguments[1]])
    return builder.load(builder.bitcast(start, _VECTOR.as_pointer()), align=1)


def _spread(builder: Any, byte: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), everywhere)


@instruction
def equal64(typing: Any, data: Any, position: Any, byte: Any) -> Any:
    """A mask of the bytes, among 64, that equal a uint8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = _load(context, builder, signature, arguments)
        return builder.bitcast(builder.icmp_unsigned("==", block, _spread(builder, arguments[2])), ir.IntType(64))

    return types.uint64(data, types.int64, types.uint8), generate


@instruction
def between64(typing: Any, data: Any, position: Any, low: Any, high: Any) -> Any:
    """A mask of the bytes, among 64, that lie between two uint8, both included."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = _load(context, builder, signature, arguments)
        above = builder.sub(block, _spread(builder, arguments[2]))
        width = _spread(builder, builder.sub(arguments[3], arguments[2]))
        return builder.bitcast(builder.icmp_unsigned("<=", above, width), ir.IntType(64))

    return types.uint64(data, types.int64, types.uint8, types.uint8), generate


@instruction
def ones(typing: Any, mask: Any) -> Any:
    """The number of bits that are set, as int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@instruction
def first_one(typing: Any, mask: Any) -> Any:
    """The position of the lowest set bit, as int64; 64 if no bit is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@inner
def low_bits(count):
    """A mask of the lowest `count` bits, 0..64."""
    if count >= 64:
        return _ALL
    return (np.uint64(1) << np.uint64(count)) - np.uint64(1)


@inner
def find_byte(data, position, end, byte):
    """The first position of a uint8 in `data[position:end]`; `end` if it does not occur."""
    while position < end:
        found = equal64(data, position, byte)
        if found:
            return min(position + first_one(found), end)
        position += 64
    return end


@inner
def count_characters(data, start, stop):
    """Characters of `data[start:stop]`: bytes that do not continue another in UTF-8."""
    characters = stop - start
    position = start
    while position < stop:
        characters -= ones(between64(data, position, np.uint8(0x80), np.uint8(0xBF)) & low_bits(stop - position))
        position += 64
    return characters
