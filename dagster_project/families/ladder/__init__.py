"""Assets of the family `ladder`: scaling laws, forecasts of large models, and their outcomes."""
