"""What exists and when it is made: assets, checks, partitions, jobs, and the command line."""
