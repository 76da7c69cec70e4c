"""A recipe on plain files, without Spark: what `watershed curate` does.

- `inputs`: documents from WARC, JSONL and Parquet
- `parts`: one input through the recipe's steps
- `copies`: copies among what the steps keep
- `contamination`: evaluation examples among them
- `run`: all inputs, side by side, into one folder
- `report`: what was kept and why, as a page to look at
- `explain`: one document, step by step
"""
