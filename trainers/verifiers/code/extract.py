"""The program in a reply: in a Markdown fence, or the whole reply."""

from __future__ import annotations

import re

PYTHON = ("", "python", "python3", "py")


def program_of(reply: str, entry_point: str = "") -> str:
    """The program that a reply holds.

    Of several fenced blocks that are marked as Python or not at all, the first that defines `entry_point` is taken, and
    without an entry point the longest. A block whose fence is never closed goes to the end. A reply without a fence is
    a program itself.

    Example:
        >>> program_of("Here:\\n```python\\nx = 1\\n```\\nDone.")
        'x = 1'
    """
    blocks: list[list[str]] = []
    fence = ""
    python = False
    for line in reply.split("\n"):
        bare = line.strip()
        if not fence and (found := re.match(r"(`{3,}|~{3,})\s*([\w+-]*)", bare)):
            fence, python = found[1], found[2].lower() in PYTHON
            if python:
                blocks.append([])
        elif fence and bare.startswith(fence) and not bare.strip(fence[0]):
            fence = ""
        elif fence and python:
            blocks[-1].append(line)
    programs = ["\n".join(block) for block in blocks]
    if not programs:
        return reply
    if entry_point:
        for program in programs:
            if defines(program, entry_point):
                return program
    return max(programs, key=len)


def defines(program: str, name: str) -> bool:
    """Whether a program has a function or class of this name at its top level, by its text alone.

    Example:
        >>> defines("def f(x):\\n    return x", "f")
        True
    """
    return re.search(rf"^(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b", program, flags=re.MULTILINE) is not None
