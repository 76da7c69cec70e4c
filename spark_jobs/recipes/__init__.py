"""Curation recipes: the YAML files, how one is read, and how its steps are applied to documents."""
