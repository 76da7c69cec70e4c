"""The program of the locked process: reads a request, locks itself, runs the program of a reply and then its tests.

The request is a line of JSON on standard input: `root`, `scratch`, the limits, `program`, `tests`, `stdin`, `token`.
When the tests have ended without an exception, the token is written to the file descriptor `report`.
"""

from __future__ import annotations

import io
import json
import os
import sys


def main() -> None:
    """Serve one request."""
    request = json.loads(sys.stdin.buffer.readline())
    sys.path.append(request["root"])
    from pathlib import Path

    from trainers.verifiers.code.locks import lock

    sys.path.remove(request["root"])
    os.chdir(request["scratch"])
    # A traceback needs these, and they could not be found once the process is locked.
    import linecache
    import traceback

    linecache.clearcache()
    try:
        lock(scratch=Path(request["scratch"]), **request["limits"])
    except OSError as error:
        os.write(request["report"], b"unlocked: " + str(error).encode())
        os._exit(70)
    sys.stdin = io.TextIOWrapper(io.BytesIO(request["stdin"].encode()), encoding="utf-8")
    scope = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        for name, source in (("program", request["program"]), ("tests", request["tests"])):
            exec(compile(source, f"<{name}>", "exec", dont_inherit=True), scope)
        sys.stdout.flush()
    except SystemExit as ending:
        sys.stdout.flush()
        # A program that reads and writes may end itself; one that has tests must live to see them.
        if request["tests"] or ending.code not in (None, 0):
            os.write(2, f"SystemExit: {ending.code}\n".encode()[:1000])
            os._exit(1)
    except BaseException as error:
        lines = traceback.format_exception_only(error)
        os.write(2, lines[-1].encode(errors="replace")[:4000])
        os._exit(1)
    os.write(request["report"], request["token"].encode())
    os._exit(0)


main()
