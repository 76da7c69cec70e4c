"""The page of `watershed ui ask`, on which people put questions to the papers of the lake."""
