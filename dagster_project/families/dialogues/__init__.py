"""Assets of the family `dialogues`: self-directed dialogues, stage by stage, partitioned by model."""
