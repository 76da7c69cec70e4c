"""Assets of the family `tulu`: mixtures, decontamination, preferences, and results of post-trained models."""
