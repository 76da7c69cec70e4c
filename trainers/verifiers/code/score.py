"""A program that a model wrote, against tests or against inputs and expected outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainers.verifiers.code.extract import defines, program_of
from trainers.verifiers.code.sandbox import Limits, run_program
from trainers.verifiers.verdict import Verdict, shown, unreadable


def score_code(
    response: str,
    *,
    tests: str = "",
    cases: Sequence[Mapping[str, str]] = (),
    entry_point: str = "",
    prompt: str = "",
    limits: Limits = Limits(),  # noqa: B008
) -> Verdict:
    """Run the program of a reply.

    Args:
        response: the reply, with the program in a Markdown fence or as it is.
        tests: Python that runs after the program, in its scope: it passes when no exception leaves it. Where it defines
            `check`, `check(entry_point)` is called, as HumanEval's tests need.
        cases: `{"stdin": ..., "stdout": ...}`, each run in a process of its own; lines are compared without the white
            space at their ends. The score is the share of cases that hold; it is not forged from inside.
        entry_point: the function that is asked for.
        prompt: code that is put before a program that does not define `entry_point`, as HumanEval's completions need.
        limits: of each process.

    Example:
        >>> score_code("def f(x): return x + 1", tests="assert f(1) == 2").score
        1.0
    """
    if why := unreadable(response):
        return Verdict(0.0, why, {"ending": "failed"})
    program = program_of(response, entry_point)
    if prompt and not (entry_point and defines(program, entry_point)):
        program = prompt + program
    if not cases:
        if defines(tests, "check") and entry_point:
            tests = f"{tests}\n\ncheck({entry_point})\n"
        run = run_program(program, tests=tests, limits=limits)
        return Verdict(float(run.ending == "passed"), run.reason, {"ending": run.ending})
    held = 0
    reason = ""
    ending = "passed"
    for number, case in enumerate(cases, start=1):
        run = run_program(program, stdin=case["stdin"], limits=limits)
        right = run.ending == "passed" and same_output(run.stdout, case["stdout"])
        held += right
        if not right and not reason:
            ending = run.ending if run.ending != "passed" else "failed"
            outcome = f"it printed {shown(run.stdout, 60)!r}" if run.ending == "passed" else run.reason
            reason = f"case {number}: {outcome}"
    parts = {"ending": ending, "held": held, "cases": len(cases)}
    return Verdict(held / len(cases), reason or "every case holds", parts)


def same_output(printed: str, expected: str) -> bool:
    """Whether two outputs are equal but for white space at the ends of lines and of the whole.

    Example:
        >>> same_output("1 2 \\n3\\n\\n", "1 2\\n3")
        True
    """
    return [line.rstrip() for line in printed.rstrip().split("\n")] == [
        line.rstrip() for line in expected.rstrip().split("\n")
    ]
