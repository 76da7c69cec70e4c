"""Inner loops over Arrow string buffers, compiled by numba. They know no Spark: Arrow in, Arrow out.

What others call:

- `html.text`: the main content of a page, to the character as resiliparse reads it
- `statistics`, `lengths`: what a document looks like, the numbers that rules judge, as DCLM defines them
- `peers.datatrove_words`, `peers.datatrove_lines`, `peers.repetition`, `peers.dolma_page`: the same as datatrove and
  dolma define them
- `line_rules`, `marks`, `urls`, `long_words`, `candidates`, `repeats`, `peers.c4_lines`: what edits cut out of a text
- `minhash`, `near_copies`: signatures, bands, shingles, and how alike documents are
- `bloom`, `overlap`, `substrings`: n-grams met before, n-grams of evaluations, substrings that recur
- `text_hash`: exact duplicates
- `union_find`: clusters from pairs
- `fasttext.predict` (and `fasttext.format`, `fasttext.words`, `fasttext.labels`): labels of texts by a fastText model
- `byte_pairs`: token ids of texts by a byte-level vocabulary
- `columns`: names and types of the statistics; imports no numba

What these are made of:

- `text_buffers`: the bytes and offsets of an Arrow string array, without a copy
- `blocks`: 64 bytes at once
- `unicode_tables`, `character_kinds`: what Python and Unicode say of each code point
- `words`, `peers.spacy_words`, `english_tables`: words between Unicode word bounds, and as spaCy's English rules cut them
- `line_breaks`: where lines end
- `cuts`, `copying`: a new array of what edits leave
- `hashing`: 64-bit hashes of byte ranges, the same on every machine
- `html.parse` (and `modes`, `body`, `tables`, `foreign`, `formatting`, `tree`, `tokens`, `entities`, `doctype`, `marks`
  beside it): a page as browsers' tree of it, in rows of `html.nodes`
- `html.walk` (and `filters`, `classes`, `links`, `lines`): what of the tree is main content
- `repetition`: how much of a document repeats itself
- `scratch`: room for the words of one document
- `compiled`, `inlined`, `linking`, `machine_code`: how all of them are compiled, what becomes part of its callers,
  where machine code is kept
- `exercises`, `warm`: each of them called once, and what compiles them ahead of their first use
"""
