"""Assets of the family `router`: domains, experts, rankings, and the comparison of routers."""
