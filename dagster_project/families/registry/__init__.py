"""Assets of the published registry of DCLM: data sets, models and evaluations."""
