"""A small curriculum and problems of Watershed's own, in the published forms: for demos and tests without the data.

The problems are stories with numbers that are drawn from a seed. Those of "models" teach the standard that was asked
for fully, partly (they use smaller numbers than it has, or another standard of its domain) or not at all, and a
"teacher" says so; they are examples of the forms, and say nothing about any real model.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from catalog.files import write_whole
from spark_jobs.mathfish.curriculum import Curriculum, curriculum_of

Row = dict[str, Any]
CURRICULUM, CONNECTIONS, EXAMPLES = "curriculum.txt", "connections.txt", "examples.jsonl"
NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ivy", "Jon")
THINGS = ("apples", "marbles", "stamps", "shells", "pencils", "cards", "beads", "plums")
GENERATORS = ("made-model-a", "made-model-b")
STANDARDS_FILE, PROBLEMS_FILE = "standards.jsonl", "problems.jsonl"
GENERATED_FILE, TEACHERS_FILE, STORIES_FILE = "generated.jsonl", "teachers.csv", "stories.jsonl"


def own_file(name: str) -> str:
    """A data file of this package."""
    return files("spark_jobs.mathfish").joinpath("data", name).read_text("utf-8")


def made_standards() -> list[Row]:
    """The rows of the made curriculum, in MathFish's schema of standards."""
    rows: dict[str, Row] = {}

    def add(standard: str, description: str, level: str, parent: str, **facts: Any) -> None:
        rows[standard] = {
            "id": standard,
            "description": description,
            "level": level,
            "cluster_type": "none",
            "aspects": [],
            "parent": parent,
            "children": [],
            "connections": {"progress to": [], "progress from": [], "related": []},
            "modeling": False,
            "source": "Watershed",
            **facts,
        }
        if parent:
            rows[parent]["children"].append(standard)

    cluster = standard = ""
    for line in _lines(CURRICULUM):
        found, words, *kind = (part.strip() for part in line.split("|"))
        if kind:
            first, second = found.split("-")[0] if "-" in found else found.split(".")[0], found.rsplit(".", 1)[0]
            if first not in rows:
                high = "-" in found
                add(first, CATEGORIES[first] if high else f"Grade {first}", "HS Category" if high else "Grade", "")
            if second not in rows:
                add(second, f"Domain {second}", "Domain", first)
            cluster = found
            add(found, words, "Cluster", second, cluster_type=kind[0])
            continue
        facts = {"cluster_type": rows[cluster]["cluster_type"], "modeling": words.startswith("*")}
        if found[-1].isdigit():
            standard = found
        add(
            found,
            words.lstrip("* "),
            "Standard" if found == standard else "Sub-standard",
            cluster if found == standard else standard,
            **facts,
        )
    for line in _lines(CONNECTIONS):
        one, sign, other = line.split()
        rows[one]["connections"]["progress to" if sign == ">" else "related"].append(other)
        rows[other]["connections"]["progress from" if sign == ">" else "related"].append(one)
    return list(rows.values())


CATEGORIES = {
    "N": "Number and Quantity",
    "A": "Algebra",
    "F": "Functions",
    "G": "Geometry",
    "S": "Statistics and Probability",
}


def _lines(name: str) -> Iterator[str]:
    return (line for line in own_file(name).splitlines() if line.strip() and not line.startswith("#"))


def made_curriculum() -> Curriculum:
    """The made curriculum."""
    return curriculum_of((f"row {number}", row) for number, row in enumerate(made_standards()))


def _story(draw: random.Random, low: int, high: int) -> tuple[str, str, int, int]:
    return draw.choice(NAMES), draw.choice(THINGS), draw.randint(low, high), draw.randint(low, high)


def _added(low: int, high: int) -> Callable[[random.Random], tuple[str, str]]:
    def write(draw: random.Random) -> tuple[str, str]:
        name, things, one, other = _story(draw, low, high)
        return f"{name} has {one} {things} and finds {other} more. How many {things} are there now?", str(one + other)

    return write


def _counted(draw: random.Random) -> tuple[str, str]:
    count = draw.randint(4, 20)
    return f"Here are some dots: {'o ' * count}. How many dots are there?", str(count)


def _compared(draw: random.Random) -> tuple[str, str]:
    name, things, one, other = _story(draw, 2, 9)
    more = "more" if one > other else "fewer" if one < other else "as many"
    return f"{name} has {one} {things}. Jo has {other}. Does {name} have more, fewer or as many?", more


def _three(draw: random.Random) -> tuple[str, str]:
    parts = [draw.randint(2, 6) for _ in range(3)]
    return f"A bag has {parts[0]} red, {parts[1]} blue and {parts[2]} green beads. How many are there?", str(sum(parts))


def _two_steps(low: int, high: int) -> Callable[[random.Random], tuple[str, str]]:
    def write(draw: random.Random) -> tuple[str, str]:
        name, things, one, other = _story(draw, low, high)
        gone = draw.randint(1, low)
        text = f"{name} had {one} {things}, gave away {gone}, and then bought {other} more. How many are there now?"
        return text, str(one - gone + other)

    return write


def _groups(draw: random.Random) -> tuple[str, str]:
    name, things, one, other = _story(draw, 3, 9)
    return f"{name} fills {one} boxes with {other} {things} each. How many {things} are in the boxes?", str(one * other)


def _money(draw: random.Random) -> tuple[str, str]:
    name, things, one, other = _story(draw, 2, 9)
    spent = one * other
    paid = spent + draw.randint(1, 9)
    text = f"{name} buys {one} {things} at ${other} each and pays with ${paid}. How many dollars come back?"
    return text, str(paid - spent)


def _fractions(draw: random.Random) -> tuple[str, str]:
    one, other = draw.sample([3, 4, 5, 6, 8], 2)
    larger = min(one, other)
    return f"Which is more of a pie, 1/{one} of it or 1/{other} of it? Explain.", f"1/{larger}"


def _percent(draw: random.Random) -> tuple[str, str]:
    share, price = draw.choice([10, 20, 25, 50]), draw.choice([20, 40, 60, 80, 200])
    return f"A coat of ${price} is sold at {share}% off. How many dollars are saved?", str(price * share // 100)


def _rate(draw: random.Random) -> tuple[str, str]:
    speed, hours = draw.choice([30, 40, 50, 60]), draw.randint(2, 6)
    return f"A bus goes {speed * 2} miles in 2 hours. How far does it go in {hours} hours?", str(speed * hours)


def _equation(draw: random.Random) -> tuple[str, str]:
    factor, x, plus = draw.randint(2, 9), draw.randint(2, 9), draw.randint(1, 20)
    return f"Solve {factor}x + {plus} = {factor * x + plus} for x.", str(x)


def _quadratic(draw: random.Random) -> tuple[str, str]:
    one, other = sorted(draw.sample(range(1, 9), 2))
    text = f"Solve x^2 - {one + other}x + {one * other} = 0, and say how many solutions there are."
    return text, "2"


def _pythagoras(draw: random.Random) -> tuple[str, str]:
    times = draw.randint(1, 9)
    text = f"The short sides of a right triangle are {3 * times} cm and {4 * times} cm. How long is the long side?"
    return text, str(5 * times)


def _area(draw: random.Random) -> tuple[str, str]:
    one, other = draw.randint(3, 9), draw.randint(3, 9)
    return f"A floor is {one} m long and {other} m wide. What is its area in square metres?", str(one * other)


def _clock(draw: random.Random) -> tuple[str, str]:
    hour = draw.randint(1, 11)
    return f"A film begins at {hour}:30 and lasts one hour. At which time does it end?", f"{hour + 1}:30"


def _function(draw: random.Random) -> tuple[str, str]:
    first, step = draw.randint(2, 9), draw.randint(2, 5)
    pairs = ", ".join(f"({x}, {first + step * x})" for x in range(3))
    return f"A table has the pairs {pairs}. Is it a function, and is it linear? Explain.", "yes"


WRITERS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "K.CC.B.5": _counted,
    "K.CC.C.6": _compared,
    "K.OA.A.2": _added(1, 5),
    "1.OA.A.1": _added(5, 10),
    "1.OA.A.2": _three,
    "1.MD.B.3": _clock,
    "2.OA.A.1": _two_steps(20, 48),
    "2.MD.C.8": _money,
    "3.OA.A.3": _groups,
    "3.OA.D.8": _money,
    "3.NF.A.3": _fractions,
    "3.MD.C.7": _area,
    "4.OA.A.3": _two_steps(200, 900),
    "6.RP.A.3": _rate,
    "6.RP.A.3c": _percent,
    "6.EE.B.7": _equation,
    "7.RP.A.3": _percent,
    "8.EE.C.7": _equation,
    "8.G.B.7": _pythagoras,
    "A-REI.B.4": _quadratic,
    "F-IF.A.1": _function,
    "G-SRT.C.8": _pythagoras,
}
"""Writers of problems, by the label that the problem gets."""
SOLVABLE = ("1.OA.A.1", "1.OA.A.2", "2.OA.A.1", "2.MD.C.8", "3.OA.A.3", "4.OA.A.3", "6.RP.A.3", "6.RP.A.3c", "7.RP.A.3")


def made_problems(count: int = 2, seed: int = 0) -> list[Row]:
    """Problems with labels, in MathFish's form: `count` for each label.

    Labels are written as publishers write them: some with HS in front, one of a sub-standard, one of a cluster, some
    that are not positive. `lesson_number` is a text in some rows and a number in others, as in the published file.
    """
    rows = []
    for label, write in WRITERS.items():
        for number in range(count):
            draw = random.Random(f"{seed} {label} {number}")
            body, _ = write(draw)
            place = len(rows)
            written = f"HS{label}" if "-" in label else label
            standards = [["Alignment" if place % 3 else "Addressing", written]]
            if place % 5 == 0:
                standards.append(["Building On", "K.CC.A.1"])
            if place % 11 == 10:
                standards = [["Building Towards", written]]
            rows.append(
                {
                    "id": f"made_{place:03}",
                    "metadata": {
                        "problem_activity_type": "task" if place % 2 else "lesson activity",
                        "lesson_number": place if place % 2 else f"lesson {place}",
                        "url": "",
                    },
                    "text": body if place % 7 else f"{body} ###IMAGE0###",
                    "elements": {} if place % 7 else {"###IMAGE0###": "made_image.png"},
                    "standards": standards,
                    "acquisition_date": "2026-01-01",
                    "source": "Watershed",
                }
            )
    rows[0]["standards"] = [["Alignment", "K.CC.B"]]
    return rows


def made_generated(seed: int = 0) -> tuple[list[Row], str]:
    """Problems that "models" wrote for standards, and a "teacher's" verdicts as a CSV file of the published form."""
    rows, out = [], io.StringIO()
    names = (
        *("Grade", "Problem/Activity Text", "Original Prompt", "Standard", "Align?"),
        *("1-2 Sentence Explanation of Alignment Decision", "Other Observations (Optional)"),
    )
    sheet = csv.DictWriter(out, names)
    sheet.writeheader()
    labels = [label for label in WRITERS if label[-1].isdigit()]
    for place, label in enumerate(labels):
        for number, model in enumerate(GENERATORS):
            draw = random.Random(f"{seed} generated {label} {model}")
            verdict = ("Full-intent Alignment", "Partial Alignment", "No Alignment", "Not a Math Problem")[
                min(draw.randrange(6) // 2, 2) if place % 9 else 3
            ]
            wrong = draw.choice([other for other in labels if other.split(".")[0] != label.split(".")[0]])
            body = WRITERS[label](draw)[0] if verdict[0] in "FP" else WRITERS[wrong](draw)[0]
            if verdict.startswith("Not"):
                body = f"Write a poem about {draw.choice(THINGS)}."
            body = f"Problem {place}.{number}: {body}"
            prompt = f"Write a problem for {label}."
            rows.append(
                {
                    "id": f"made_generated_{len(rows)}",
                    "metadata": {"prompt": prompt},
                    "elements": {},
                    "text": body,
                    "standards": [["Alignment", label]],
                    "acquisition_date": "26-01-01",
                    "source": model,
                }
            )
            written = f"HS{label}" if "-" in label else label
            # A sheet changes white space, and one text was shortened by hand.
            shown = body.replace("Problem", "Problem ", 1) if len(rows) == 3 else f" {body}"
            sheet.writerow(dict(zip(names, ("", shown, prompt, written, verdict, "It says so.", ""), strict=True)))
    return rows, out.getvalue()


def made_stories(count: int = 3, seed: int = 0) -> list[Row]:
    """Word problems with answers and without labels, in the form of the repository's file of GSM8K."""
    rows = []
    for label in SOLVABLE:
        for number in range(count):
            body, answer = WRITERS[label](random.Random(f"{seed} story {label} {number}"))
            worked = f"The answer follows from the numbers.\n#### {answer}"
            rows.append(
                {
                    "id": f"made_story_{len(rows)}",
                    "metadata": {"original_instance": {"question": body, "answer": worked}},
                    "text": body,
                    "elements": {},
                    "standards": ["Answering", worked],
                    "acquisition_date": "2026-01-01",
                    "source": "made_stories",
                }
            )
    return rows


def write_made(folder: Path) -> dict[str, Path]:
    """Write the made curriculum and problems as files of the published forms; returns them by what they are."""
    generated, teachers = made_generated()
    contents = {STANDARDS_FILE: made_standards(), PROBLEMS_FILE: made_problems(), GENERATED_FILE: generated}
    contents[STORIES_FILE] = made_stories()
    for name, rows in contents.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(folder / name, lines.encode())
    write_whole(folder / TEACHERS_FILE, teachers.encode())
    return {name: folder / name for name in (*contents, TEACHERS_FILE)}
