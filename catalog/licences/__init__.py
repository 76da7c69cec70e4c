"""Licences: names as people write them, the SPDX identifiers that they stand for, what these allow, and inheritance."""
