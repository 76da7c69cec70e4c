"""The worker of mathematical answers, started by `trainers.verifiers.workers`.

A request is `{"rule", "gold", "given"}`, the answer `{"equal": bool, "reason": text}`. The process opens no socket,
starts no process and writes no file: where the machine has seccomp it is locked.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from trainers.verifiers.workers import serve_lines

MEMORY = 3 << 30
NO_TIMEOUT: Any = None
"""Their timeouts are alarm signals; the deadline is that of `Workers`."""


def equal(request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request."""
    compare = _by_math_verify if request["rule"] == "strict" else _by_sympy
    try:
        return compare(request["gold"], request["given"])
    except (Exception, RecursionError) as error:
        return {"equal": False, "reason": f"the comparison failed: {type(error).__name__}"}


def _by_math_verify(gold: str, given: list[str]) -> dict[str, Any]:
    from math_verify import parse, verify

    wanted = parse(f"\\boxed{{{gold}}}", parsing_timeout=NO_TIMEOUT) or parse(gold, parsing_timeout=NO_TIMEOUT)
    if not wanted:
        return {"equal": False, "reason": "the answer cannot be read"}
    found = parse(given[0], parsing_timeout=NO_TIMEOUT)
    if not found:
        return {"equal": False, "reason": "the reply holds no expression"}
    return {"equal": bool(verify(wanted, found, timeout_seconds=None)), "reason": ""}


def _by_sympy(gold: str, given: list[str]) -> dict[str, Any]:
    """Minerva's rule: the difference of the expressions simplifies to 0."""
    import sympy
    from sympy.parsing.latex import parse_latex

    for answer in given:
        try:
            if sympy.simplify(parse_latex(gold) - parse_latex(answer)) == 0:
                return {"equal": True, "reason": ""}
        except Exception:
            continue
    return {"equal": False, "reason": ""}


def main() -> None:
    """Load the libraries, lock the process, serve."""
    import sympy.parsing.latex  # noqa: F401 (imported before the process is locked)
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    # Grammars are read at their first use.
    verify(
        parse("\\boxed{\\frac12}", parsing_timeout=NO_TIMEOUT),
        parse("0.5", parsing_timeout=NO_TIMEOUT),
        timeout_seconds=None,
    )
    _by_sympy("\\frac{1}{2}", ["0.5"])
    serve_lines(equal, MEMORY, _lock)


def _lock() -> None:
    from trainers.verifiers.code import filters

    if filters.supported():
        filters.install(writes=False, pid=os.getpid(), limits=True)


if __name__ == "__main__":
    main()
