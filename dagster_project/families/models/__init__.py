"""Assets, partitions and training runs of the family `models`: the models of the ladder and the targets."""
