"""What programs of strangers may read of the lake: search, descriptions, lineage, and SQL, without personal data.

`masking.py` says what is shown of columns with personal data, `guard.py` which SQL is run, `reader.py` runs it within
limits, and `tools.py` has the functions that `watershed mcp` offers.
"""
