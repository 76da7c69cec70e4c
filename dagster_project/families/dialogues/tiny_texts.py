"""What the tiny model reads: questions about Python's own documentation, and each stage of a dialogue about it.

The stages are shown in the words of `spark_jobs.dialogues.prompts`, so that a model of a hundred thousand parameters
writes lists, plans, verdicts and revisions in the form that is asked for. What they say is the documentation's.
"""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spark_jobs.dialogues import prompts
from spark_jobs.dialogues.prompts import AGENT, DONE, USER
from spark_jobs.dialogues.recipe import Principle, read_principles

MODULES = (
    "argparse array ast asyncio base64 bisect calendar codecs collections configparser contextlib copy csv "
    "ctypes datetime decimal difflib dis email enum fileinput fnmatch fractions ftplib functools gettext glob "
    "gzip hashlib heapq hmac html http imaplib importlib inspect io ipaddress itertools json locale logging "
    "lzma mailbox math mimetypes multiprocessing numbers operator os pathlib pickle pkgutil platform plistlib "
    "pprint queue quopri random re sched secrets selectors shelve shlex shutil signal smtplib socket "
    "socketserver sqlite3 ssl statistics string struct subprocess symtable sysconfig tarfile tempfile textwrap "
    "threading timeit tokenize trace traceback types typing unicodedata unittest urllib.parse urllib.request "
    "uuid warnings wave weakref webbrowser xml.dom xml.sax zipfile zlib "
).split()
"""Modules of the standard library."""

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}AGENT: {% elif m['role'] == 'user' %}USER: {% endif %}"
    "{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}AGENT:{% endif %}"
)
"""The form of the texts that the model reads, as a chat template. A reply begins with the space before its first word,
as the tokens of a text do."""

MOST_WORDS = 30
"""Words of a message in a lesson."""
LONGEST_ANSWER = 80
"""Words of an answer to a question."""
LESSONS_EACH = 2
"""Lessons of a documented name."""

Messages = list[tuple[str, str]]
"""Messages as (role, content)."""


@dataclass(frozen=True)
class Documented:
    """A name of the standard library and the paragraphs of its documentation, at most three."""

    module: str
    name: str
    paragraphs: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The beginning of the documentation."""
        return _short(self.paragraphs[0])

    @property
    def more(self) -> str:
        """How the documentation goes on, or its beginning again in other words."""
        return (
            _short(self.paragraphs[1])
            if len(self.paragraphs) > 1
            else f"{self.name} is in {self.module}. {self.answer}"
        )


def texts() -> Iterator[str]:
    """Yield a text for each question about a documented name, and some lessons of a dialogue about it."""
    names, principles = list(documented()), read_principles()
    siblings: dict[str, list[str]] = {}
    for each in names:
        siblings.setdefault(each.module, []).append(each.name)
    for number, each in enumerate(names):
        yield question(each)
        draw = random.Random(f"lesson {each.name}")
        lesson = Lesson(each, draw.choice(names), draw.sample(principles, 2), siblings[each.module], draw)
        for place in range(LESSONS_EACH):
            kind = KINDS[(LESSONS_EACH * number + place) % len(KINDS)]
            yield in_form(kind(lesson))


def documented() -> Iterator[Documented]:
    """Yield the documented functions, classes and methods of MODULES."""
    for module in MODULES:
        try:
            imported = importlib.import_module(module)
        except ImportError:
            continue
        for name, value in _names(imported, module):
            document = inspect.getdoc(value) or ""
            paragraphs = [" ".join(part.split()) for part in document.split("\n\n") if len(part.split()) > 4][:3]
            if paragraphs:
                yield Documented(module, name, tuple(paragraphs))


def _names(module: object, name: str) -> Iterator[tuple[str, object]]:
    for key in sorted(vars(module)):
        value = vars(module)[key]
        if key.startswith("_") or not (inspect.isroutine(value) or inspect.isclass(value)):
            continue
        yield f"{name}.{key}", value
        for inner in sorted(vars(value)) if inspect.isclass(value) else ():
            if not inner.startswith("_") and inspect.isroutine(vars(value)[inner]):
                yield f"{name}.{key}.{inner}", vars(value)[inner]


def question(each: Documented) -> str:
    """Return a dialogue that asks for the documentation of a name, paragraph by paragraph."""
    first, *others = (_short(part, LONGEST_ANSWER) for part in each.paragraphs)
    more = "".join(f"USER: Tell me more.\nAGENT: {part}\n" for part in others)
    return f"USER: What does {each.name} do?\nAGENT: {first}\n{more}USER: Thank you. DONE\n"


def in_form(messages: Messages) -> str:
    """Return messages in the form of TEMPLATE."""
    label = {"assistant": f"{AGENT}: ", "user": f"{USER}: ", "system": ""}
    return "".join(f"{label[role]}{content}\n" for role, content in messages)


def _short(text: str, most: int = MOST_WORDS) -> str:
    words = text.split()
    return text if len(words) <= most else f"{' '.join(words[:most])}."


@dataclass(frozen=True)
class Lesson:
    """What the lessons of a name are made of.

    Attributes:
        each: the name that the dialogue is about.
        other: the name that the agent speaks of instead, which violates the principles.
        principles: the principles of the dialogue.
        siblings: names of the same module.
        draw: the chances of this name.
    """

    each: Documented
    other: Documented
    principles: Sequence[Principle]
    siblings: Sequence[str]
    draw: random.Random

    @property
    def goal(self) -> str:
        """The goal of the user."""
        return f"The user wants to know what {self.each.name} does."

    @property
    def plan(self) -> str:
        """The plan of the dialogue."""
        return (
            f"1. {USER} asks what {self.each.name} does.\n2. {AGENT} describes {self.each.name}.\n"
            f"3. {USER} asks for more about {self.each.name}.\n4. {AGENT} describes {self.other.name} instead."
        )

    @property
    def turns(self) -> list[str]:
        """The dialogue that follows the plan; the last turn of the agent violates the principles."""
        name = self.each.name
        return [f"What does {name} do?", self.each.answer, f"Tell me more about {name}.", self.other.answer]

    def transcript(self, last: str) -> str:
        """The dialogue as a critic reads it, with `last` as the last turn."""
        sides = (USER, AGENT, USER, AGENT)
        return "\n".join(f"{side}: {words}" for side, words in zip(sides, [*self.turns[:3], last], strict=True))


def topics_lesson(lesson: Lesson) -> Messages:
    """A list of subtopics: names of the module."""
    listed = lesson.draw.sample(lesson.siblings, min(5, len(lesson.siblings)))
    return [("user", prompts.subtopics(lesson.each.module, 5)), ("assistant", "\n".join(listed))]


def goal_lesson(lesson: Lesson) -> Messages:
    """The goal of a user."""
    asked = prompts.goal(lesson.each.module, lesson.each.name, lesson.principles)
    return [("user", asked), ("assistant", lesson.goal)]


def plan_lesson(lesson: Lesson) -> Messages:
    """The plan of a dialogue."""
    asked = prompts.plan(lesson.each.module, lesson.each.name, lesson.principles, lesson.goal)
    return [("user", asked), ("assistant", f"{lesson.plan}\n{DONE}")]


def user_lesson(lesson: Lesson) -> Messages:
    """A dialogue from the side of the user."""
    ask, answer, again, last = lesson.turns
    turns = [("assistant", ask), ("user", answer), ("assistant", again), ("user", last), ("assistant", DONE)]
    return [("system", prompts.speaker(USER, lesson.plan)), ("user", prompts.OPENING), *turns]


def agent_lesson(lesson: Lesson) -> Messages:
    """A dialogue from the side of the agent."""
    ask, answer, again, last = lesson.turns
    turns = [("user", ask), ("assistant", answer), ("user", again), ("assistant", last)]
    return [("system", prompts.speaker(AGENT, lesson.plan)), *turns]


def flag_lesson(lesson: Lesson) -> Messages:
    """A verdict: yes if the last turn is about another name."""
    wrong = lesson.draw.random() < 0.5
    turns = lesson.transcript(lesson.other.answer if wrong else lesson.each.more)
    return [("user", prompts.flag(lesson.principles, turns)), ("assistant", "Yes." if wrong else "No.")]


def critique_lesson(lesson: Lesson) -> Messages:
    """A critique of the last turn."""
    asked = prompts.critique(lesson.principles, lesson.transcript(lesson.other.answer))
    return [("user", asked), ("assistant", f"{_critique(lesson)}\nVIOLATED: [{lesson.principles[0].id}]\n{DONE}")]


def revision_lesson(lesson: Lesson) -> Messages:
    """The last turn again, about the name that was asked for."""
    turns = lesson.transcript(lesson.other.answer)
    return [("user", prompts.revision(lesson.principles, turns, _critique(lesson))), ("assistant", lesson.each.more)]


def _critique(lesson: Lesson) -> str:
    return f"CRITIQUE: The message is about {lesson.other.name} and not about {lesson.each.name}."


KINDS: tuple[Callable[[Lesson], Messages], ...] = (
    *(topics_lesson, goal_lesson, plan_lesson, user_lesson),
    *(agent_lesson, flag_lesson, critique_lesson, revision_lesson),
)
"""The lessons, in the order of the stages."""
