"""Assets of the family `scholar`: papers, passages, vectors, and the indexes that answers are searched in."""
