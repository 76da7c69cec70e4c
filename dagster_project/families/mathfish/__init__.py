"""Assets of the family `mathfish`: standards, problems and prompts, and by model its answers and their metrics."""
