"""What the lake has on its disk or in its bucket, compared with what was recorded when it was written.

After every commit, `records` stores the size and the SHA-256 of each file of the commit, and a copy of the log entry.
`log` decides from them whether the log of a table can be trusted, `verify` compares all files, `presence` says which
partitions have lost a file, and `repair` restores what can be restored.
"""
