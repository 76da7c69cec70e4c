"""Training shards: the tokenizer, the WebDataset format, and the order of documents in it."""
