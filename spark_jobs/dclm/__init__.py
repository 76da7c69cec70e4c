"""Tables of the family `dclm`, a file a table: from registered archives to training shards."""
