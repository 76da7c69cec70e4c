"""Inner loops over Arrow string buffers, compiled by numba. They take and return Arrow arrays and do not use Spark.

Modules that the rest of the project calls:

- `html.text`: the text of a page's main content, identical to resiliparse's
- `statistics`, `lengths`: the statistics of a document that filter rules compare with thresholds, as DCLM defines them
- `peers.datatrove_words`, `peers.datatrove_lines`, `peers.repetition`, `peers.dolma_page`: the same kind of statistics
  as datatrove and dolma define them
- `line_rules`, `marks`, `urls`, `long_words`, `candidates`, `repeats`, `peers.c4_lines`: removal of lines, citations,
  addresses and other spans from a text
- `minhash`, `near_copies`: MinHash signatures, LSH bands, shingles, and clusters of similar documents
- `bloom`, `overlap`, `substrings`: n-grams seen before, n-grams shared with evaluations, repeated substrings
- `text_hash`: hashes of whole texts, for exact duplicates
- `union_find`: clusters from pairs
- `fasttext.predict` (and `fasttext.format`, `fasttext.words`, `fasttext.labels`): labels of texts by a fastText model
- `byte_pairs`: token ids of texts by a byte-level vocabulary
- `columns`: names and types of the statistics; imports no numba

Modules that these are built from:

- `text_buffers`: the bytes and offsets of an Arrow string array, without a copy
- `blocks`: comparisons of 64 bytes at once
- `unicode_tables`, `character_kinds`: properties of each code point, as Python and Unicode define them
- `words`, `peers.spacy_words`, `english_tables`: words between Unicode word boundaries, and the tokens of spaCy's
  English tokenizer
- `line_breaks`: the ends of lines
- `cuts`, `copying`: a new array of the text that edits leave
- `hashing`: 64-bit hashes of byte ranges, the same on every machine
- `html.parse` (and `modes`, `body`, `tables`, `foreign`, `formatting`, `tree`, `tokens`, `entities`, `doctype`, `marks`
  in the same folder): the tree that a browser builds from a page, as rows of `html.nodes`
- `html.walk` (and `filters`, `classes`, `links`, `lines`): the main content of the tree
- `repetition`: the share of a document that is repeated
- `scratch`: scratch memory for the words of one document
- `compiled`, `inlined`, `linking`, `machine_code`: compilation, inlining, linking, and the cache of machine code
- `exercises`, `warm`: one call of each kernel, and the command that compiles kernels ahead of their first use
"""
