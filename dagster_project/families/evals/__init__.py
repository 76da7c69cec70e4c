"""Assets and recipes of the family `evals`: questions, and the answers and scores of models."""
