"""DCLM's published registry of experiments: its JSON files, read into rows."""
