"""Inner loops over Arrow string buffers, compiled by numba. They know no Spark: Arrow in, Arrow out.

What others call:

- `statistics`: what a document looks like, the numbers that rules judge
- `minhash`: signatures, bands, and how alike two documents are
- `text_hash`: exact duplicates
- `union_find`: clusters from pairs
- `columns`: names and types of the statistics; imports no numba

What these are made of:

- `text_buffers`: the bytes and offsets of an Arrow string array, without a copy
- `blocks`: 64 bytes at once
- `unicode_tables`: what Python and Unicode say of each code point
- `words`: words between Unicode word bounds
- `hashing`: 64-bit hashes of byte ranges, the same on every machine
- `repetition`: how much of a document repeats itself
- `scratch`: room for the words of one document
- `compiled`: how all of them are compiled, and where machine code is kept
"""
