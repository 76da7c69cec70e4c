"""Assets of the family `moe`: a mixture of experts, a dense model to compare it with, and its routing."""
