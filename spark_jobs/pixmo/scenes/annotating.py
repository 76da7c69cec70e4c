"""What is asked and said of scenes, as annotations of the data sets of PixMo."""

from __future__ import annotations

from spark_jobs.pixmo.points import format_points
from spark_jobs.pixmo.scenes.composing import SIZE, Object, Scene
from spark_jobs.shards.pictures import Annotation, PictureSample

PROGRAM = "program"
CAP, POINTS, COUNT, CAP_QA, CLOCKS = "cap", "points", "count", "cap_qa", "clocks"
DATASETS = (CAP, POINTS, COUNT, CAP_QA, CLOCKS)
"""The data sets of PixMo that scenes are annotated as."""


def label(what: tuple[str, str]) -> str:
    """A colour and kind as they are asked for.

    Example:
        >>> label(("red", "cars"))
        'red cars'
    """
    return " ".join(what)


def percent(objects: list[Object]) -> tuple[tuple[float, float], ...]:
    """The points of objects in percent of width and height, with one decimal, sorted by x, then y."""
    return tuple(sorted((round(100 * each.x / SIZE, 1), round(100 * each.y / SIZE, 1)) for each in objects))


def pointed(scene: Scene, what: tuple[str, str], *, counting: bool = False) -> Annotation:
    """The points of a colour and kind, of which there may be none."""
    objects = scene.of(what)
    points = [(x / 100, y / 100) for x, y in percent(objects)]
    return Annotation(
        style="counting" if counting else "pointing",
        text=format_points(points, label(what), counting=counting),
        points=percent(objects),
        label=label(what),
        count=len(objects),
        maker=PROGRAM,
    )


def annotations(scene: Scene) -> dict[str, tuple[Annotation, ...]]:
    """What each data set says of a scene; data sets that say nothing are left out."""
    asked = [*scene.kinds, *([scene.absent] if scene.absent else [])]
    found: dict[str, list[Annotation]] = {
        CAP: [Annotation(style="caption", text=scene.caption, maker=PROGRAM)],
        POINTS: [pointed(scene, what) for what in asked],
        COUNT: [pointed(scene, scene.target, counting=True)],
        CAP_QA: [_asked("question", "Which background does the picture have?", scene.texture)],
    }
    if scene.word:
        found[CAP_QA].append(_asked("question", "What does the sign say?", scene.word))
    if scene.time:
        found[CLOCKS] = [_asked("clock", "What time does the clock show?", scene.time)]
    return {name: tuple(each) for name, each in found.items()}


def _asked(style: str, prompt: str, answer: str) -> Annotation:
    return Annotation(style=style, prompt=prompt, text=answer, maker=PROGRAM)


def samples(scene: Scene) -> list[PictureSample]:
    """The samples of shards: a scene once for each data set that annotates it."""
    return [
        PictureSample(picture=scene.picture, ending="jpg", width=SIZE, height=SIZE, source=name, annotations=made)
        for name, made in annotations(scene).items()
    ]
