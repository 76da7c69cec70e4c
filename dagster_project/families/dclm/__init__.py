"""Assets, partitions and recipes of the family `dclm`: web archives to training shards."""
