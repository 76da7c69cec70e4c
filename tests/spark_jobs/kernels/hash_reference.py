"""Hashes and MinHash signatures in plain integers: what the kernels must equal on every machine."""

from __future__ import annotations

import struct

from dclm_reference import is_mark, segments, words

MASK = (1 << 64) - 1
KEYS = (0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B)


def fold(left: int, right: int) -> int:
    product = left * right
    return product >> 64 ^ product & MASK


def hash_bytes(data: bytes, seed: int) -> int:
    state = (seed & MASK) ^ KEYS[0]
    whole = len(data) - len(data) % 16
    for left, right in struct.iter_unpack("<QQ", data[:whole] + data[whole:].ljust(16, b"\0")):
        state = fold(state ^ left, KEYS[1] ^ right)
    return fold(state ^ len(data), KEYS[2])


def splitmix64(seed: int, count: int) -> list[int]:
    numbers = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        number = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & MASK
        number = (number ^ number >> 27) * 0x94D049BB133111EB & MASK
        numbers.append(number ^ number >> 31)
    return numbers


def lower(word: str) -> str:
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in word)


def is_letter(character: str) -> bool:
    return character.isalnum() and not is_mark(character)


def shingles(text: str, size: int = 5) -> set[tuple[str, ...]]:
    found = [lower(word) for word in segments(text) if words(word) or any(map(is_letter, word))]
    size = min(size, len(found))
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)} if found else set()


def minhash(text: str, permutations: int, seed: int, size: int = 5) -> bytes | None:
    weights = [number | 1 for number in splitmix64(0, size)]
    hashes = []
    for shingle in shingles(text, size):
        total = (
            sum(hash_bytes(word.encode(), 0) * weight for word, weight in zip(shingle, weights, strict=False)) & MASK
        )
        hashes.append(fold(total ^ KEYS[0], KEYS[2]) & 0xFFFFFFFF)
    if not hashes:
        return None
    numbers = splitmix64(seed, permutations)
    values = [min(((n >> 32 | 1) * x + (n & 0xFFFFFFFF)) & 0xFFFFFFFF for x in hashes) for n in numbers]
    return struct.pack(f"<{permutations}I", *values)
