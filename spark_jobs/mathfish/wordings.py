"""Several wordings of the prompts of verification and tagging, all Watershed's own.

A model may answer one wording of a question much better than another. The paper (arXiv 2408.04226) tried 15 wordings of
each task and kept the best ones of each model. These five differ as the published ones do: by whether a part of a
standard is enough, whether the standard or the options come before the problem, whether there is a role, and whether
the prompt ends with the beginning of the answer. `comparing` chooses between them.
"""

from __future__ import annotations

from dataclasses import dataclass

ASKED = {
    "domain": ("topics", "teaches"),
    "cluster": ("skills", "teaches"),
    "standard": ("standards", "teaches all or part of"),
}
"""What options of a level are called, and what a problem does with a right one."""
PLAIN = "plain"
"""The wording of prompts that no comparison has chosen."""


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The templates of one wording.

    Attributes:
        verify: of verification, with the places of allenai/mathfish-tasks.
        tag: of tagging; `[level]` and `[relation]` are what `ASKED` says.
    """

    verify: str
    tag: str


_YES_NO = "Answer with one word, yes or no."
_LETTERS = (
    "Answer with the letters of the options and commas between them, such as: A, C. "
    "Answer none if there is no such option."
)
_PROBLEM = "Problem:\n{problem_activity}\n\n"
_STANDARD = "Standard: {standard_description}\n\n"

WORDINGS: dict[str, Wording] = {
    PLAIN: Wording(
        verify="A mathematical problem teaches a standard if a student who works on it learns or practises what the "
        f"standard says.\n\n{{few_shots}}{_PROBLEM}{_STANDARD}Does the problem teach the standard? {_YES_NO}",
        tag=f"Here is a mathematical problem, and a list of [level].\n\n{{few_shots}}{_PROBLEM}"
        "Options:\n{options}\nWhich [level] does the problem teach? Choose every option that it [relation]. "
        f"{_LETTERS}",
    ),
    "reviewer": Wording(
        verify="You review lessons of mathematics for a school. You read what a lesson should teach, and then a "
        f"problem of that lesson.\n\n{{few_shots}}{_STANDARD}{_PROBLEM}"
        f"Is the problem right for this lesson? {_YES_NO}",
        tag="You review lessons of mathematics for a school, and file each problem under the [level] that it "
        "[relation].\n\n{few_shots}Options:\n{options}\n" + _PROBLEM + "Under which [level] do you file the problem? "
        f"{_LETTERS}",
    ),
    "whole": Wording(
        verify="Decide whether a mathematical problem teaches the whole of a standard. If it teaches a part of the "
        "standard alone, the answer is no: counting five things does not teach counting to 100.\n\n"
        f"{{few_shots}}{_PROBLEM}{_STANDARD}Does the problem teach the whole standard? {_YES_NO}",
        tag="Decide which [level] a mathematical problem teaches as a whole. Leave out an option if the problem only "
        f"touches it.\n\n{{few_shots}}{_PROBLEM}Options:\n{{options}}\n{_LETTERS}",
    ),
    "student": Wording(
        verify="A student solves a problem of mathematics.\n\n{few_shots}" + _PROBLEM + "We want the student to learn "
        f"this.\n\n{_STANDARD}Does solving the problem help the student to learn it? {_YES_NO}",
        tag=f"A student solves a problem of mathematics.\n\n{{few_shots}}{_PROBLEM}"
        "Options:\n{options}\nWhich of these [level] does the student practise by solving it? "
        f"{_LETTERS}",
    ),
    "brief": Wording(
        verify=f"{{few_shots}}{_PROBLEM}{_STANDARD}The problem teaches the standard (yes or no):",
        tag=f"{{few_shots}}{_PROBLEM}Options:\n{{options}}\n"
        "Letters of all [level] that the problem [relation], such as A, C, or none:",
    ),
}
"""The wordings by name, the first one first."""


def tagging_template(level: str, wording: str = PLAIN) -> str:
    """The template of a tagging prompt of a level: domain, cluster or standard.

    Example:
        >>> "Which skills does the problem teach?" in tagging_template("cluster")
        True
    """
    name, relation = ASKED[level]
    return WORDINGS[wording].tag.replace("[level]", name).replace("[relation]", relation)
