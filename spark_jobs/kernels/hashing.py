"""64-bit hashes of byte ranges: one folded 64 x 64 -> 128 bit multiplication per 16 bytes.

Hashes are the same on every little-endian machine and in every process. They do not resist adversaries, who can make
collisions at will once they know the seed.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from spark_jobs.kernels.compiled import inner, instruction

if sys.byteorder != "little":
    raise ImportError("hashes of the lake are defined on little-endian machines")

# The fractions of the square roots of the first primes: bits that nobody chose.
KEY_0 = np.uint64(0x6A09E667F3BCC908)
KEY_1 = np.uint64(0xBB67AE8584CAA73B)
KEY_2 = np.uint64(0x3C6EF372FE94F82B)

_WORD = ir.IntType(64)
_DOUBLE_WORD = ir.IntType(128)


@instruction
def load64(typing: Any, data: Any, position: Any) -> Any:
    """The eight bytes `data[position : position + 8]` as a little-endian uint64, at any alignment."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(byte, _WORD.as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


@instruction
def fold(typing: Any, left: Any, right: Any) -> Any:
    """Multiply two uint64 to 128 bits and xor the halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = builder.mul(*(builder.zext(argument, _DOUBLE_WORD) for argument in arguments))
        high = builder.lshr(wide, ir.Constant(_DOUBLE_WORD, 64))
        return builder.xor(builder.trunc(wide, _WORD), builder.trunc(high, _WORD))

    return types.uint64(types.uint64, types.uint64), generate


@inner
def load_few(data, position, count):
    """The first `count` bytes from `position`, at most 8, as a uint64 with zeros above them."""
    if count >= 8:
        return load64(data, position)
    return load64(data, position) & ((np.uint64(1) << np.uint64(8 * max(count, 0))) - np.uint64(1))


@inner
def hash_bytes(data, start, stop, seed):
    """Hash `data[start:stop]`; 16 bytes after it must be readable, and the seed is a uint64.

    The state starts as seed ^ KEY_0. For each 16 bytes, and for the rest padded with zeros to 16:
    state = fold(state ^ first eight bytes, KEY_1 ^ last eight). The hash is fold(state ^ length, KEY_2).
    """
    state = seed ^ KEY_0
    position = start
    while stop - position >= 16:
        state = fold(state ^ load64(data, position), KEY_1 ^ load64(data, position + 8))
        position += 16
    left = stop - position
    state = fold(state ^ load_few(data, position, left), KEY_1 ^ load_few(data, position + 8, left - 8))
    return fold(state ^ np.uint64(stop - start), KEY_2)


@inner
def hash_pair(left, right):
    """Combine two hashes into one; their order matters."""
    return fold(left ^ KEY_0, right ^ KEY_1)
