"""The stages, categories and modalities by which the Foundation Model Development Cheatsheet sorts its resources.

The numbers are those of the cheatsheet's sections. Names, titles and aliases are facts of the published files
(allenai/fm-cheatsheet, app/resources): rows of the resource file also use the titles of the site's pages and names with
the section in front ("Model Evaluation: Capabilities"), which the site does not show.
"""

from __future__ import annotations

from dataclasses import dataclass

STAGES = (
    "Data Sources",
    "Data Preparation",
    "Data Documentation and Release",
    "Model Training",
    "Environmental Impact",
    "Model Evaluation",
    "Model Release and Monitoring",
)
"""The stages of development, in the order of the cheatsheet's sections 1 to 7."""

MODALITIES = ("Text", "Speech", "Vision", "Video", "Tabular")
"""What a resource is for. The cheatsheet itself covers the first three."""


@dataclass(frozen=True, kw_only=True)
class Category:
    """A category of resources."""

    number: str
    """Its section: the number of the stage, a point, and the number within the stage."""
    name: str
    aliases: tuple[str, ...] = ()
    """Other names of the same category in the published file."""

    @property
    def stage(self) -> str:
        """The stage that the category belongs to."""
        return STAGES[int(self.number.split(".")[0]) - 1]


CATEGORIES = (
    Category(number="1.1", name="Pretraining Data Sources"),
    Category(number="1.2", name="Finetuning Data Catalogs"),
    Category(number="2.1", name="Data Exploration", aliases=("Data Search, Analysis, & Exploration",)),
    Category(number="2.2", name="Data Cleaning", aliases=("Data Cleaning, Filtering, & Mixing",)),
    Category(number="2.3", name="Data Deduplication"),
    Category(number="2.4", name="Data Decontamination"),
    Category(number="2.5", name="Data Auditing"),
    Category(number="3.1", name="Data Documentation"),
    Category(number="3.2", name="Data Governance"),
    Category(number="4.1", name="Pretraining Repositories"),
    Category(number="4.2", name="Finetuning Repositories"),
    Category(number="4.3", name="Efficiency & Resource Allocation"),
    Category(number="4.4", name="Additional Educational Resources", aliases=("Educational Resources",)),
    Category(number="5.1", name="Environmental Impact"),
    Category(number="6.1", name="Capabilities"),
    Category(number="6.2", name="Risks & Harms Taxonomies"),
    Category(number="6.3", name="Risks & Harms Evaluation", aliases=("Risks & Harms",)),
    Category(number="7.1", name="Model Documentation"),
    Category(number="7.2", name="Reproducibility"),
    Category(number="7.3", name="License Selection"),
    Category(number="7.4", name="Usage Monitoring"),
)
"""The 21 categories, in the order of their numbers."""
