"""Applies a recipe to plain files, without Spark: `watershed curate`.

- `inputs`: documents from WARC, JSONL and Parquet
- `parts`: one input through the steps of the recipe
- `copies`: copies among the documents that the steps keep
- `contamination`: evaluation examples in these documents
- `selection`: selection by a quality model
- `run`: all inputs in parallel, into one folder
- `report`: what was kept and why, as an HTML page
- `explain`: one document, step by step
"""
