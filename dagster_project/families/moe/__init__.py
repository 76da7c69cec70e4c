"""Assets of the family `moe`: a mixture of experts beside a dense model, and how it routes."""
