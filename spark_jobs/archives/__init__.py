"""WARC archives: where they are, reading records by range, and the text of a payload."""
