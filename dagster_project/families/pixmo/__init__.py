"""Assets of the PixMo datasets: their rows, pictures and shards."""
