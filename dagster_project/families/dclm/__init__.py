"""Assets, partitions and recipes of the family `dclm`: training shards from web archives."""
