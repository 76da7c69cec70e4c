"""Assets, partitions and training runs of the family `models`."""
