"""Assets of the family `ladder`: scaling laws, forecasts and how they came out."""
