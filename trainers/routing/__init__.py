"""How a mixture of experts routes tokens: counts, tables and pictures."""
