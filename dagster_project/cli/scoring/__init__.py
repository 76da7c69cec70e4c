"""Behind `watershed score`: the list of scorers, the rows of their files, and what is printed."""
