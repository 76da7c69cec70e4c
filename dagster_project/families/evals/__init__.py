"""Assets and recipes of the family `evals`: questions, answers and scores."""
