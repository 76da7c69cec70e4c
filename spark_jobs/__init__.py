"""Computes rows of tables, with Spark, DuckDB or plain Python.

Spark is used where a table grows with the pool; plain Python, Arrow or DuckDB where it does not. The room imports
`catalog` and no other room. Engines and families stand beside each other. An engine does one kind of work and knows no
family. A family writes the tables of one subject and calls engines.

Engines:

- `spark`: the session, Java, jars, and Delta tables as Spark reads and replaces them
- `archives`: reading WARC archives, and their payloads as text
- `recipes`, `measures`, `edits`: curation recipes, the statistics that their rules judge, and their rewriting of text
- `dedup`: equal and nearly equal documents, repeated paragraphs and substrings
- `classifiers`: languages, quality and topics
- `selection`: which documents a mixture takes, and how often
- `contamination`: evaluation text in documents
- `retrieval`: search over passages, and its evaluation
- `shards`: tokenizing text, and writing training shards of texts and pictures
- `pictures`: downloading pictures, and storing each once
- `language_models`: requests to language models, every attempt a row
- `kernels`: compiled inner loops over Arrow buffers

Families:

- `dclm`: the tables of the DCLM pipeline, from the pool of archives to training shards
- `evals`: multiple-choice questions from held-out documents
- `dialogues`: self-directed dialogues of language models, and their revisions
- `registry`: DCLM's published data sets, models and evaluations
- `curate`: a recipe on plain files, without Spark (`watershed curate`)
- `scholar`: citations and rubrics of scientific answers
- `mathfish`: replies about mathematical standards
- `pixmo`: the PixMo datasets and their pictures; points, counts and answers about pictures
- `demo`: the crawl of this machine's documentation that the demo reads
"""
