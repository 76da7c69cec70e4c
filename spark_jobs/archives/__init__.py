"""WARC archives: opening them, reading their records, and turning payloads into text."""
