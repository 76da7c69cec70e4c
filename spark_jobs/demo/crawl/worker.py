"""One process of a crawl: reads the parts to write from standard input, reports on standard output.

Started by `spark_jobs.demo.crawl.parts`. Each line that it prints is a JSON object: `{"fetched": pages}`,
`{"written": part}` or `{"error": message}`.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from dataclasses import asdict
from typing import Any, NoReturn

from spark_jobs.demo.crawl.parts import write_part


def main() -> None:
    """Write every part, in order."""
    for part in pickle.load(sys.stdin.buffer):
        try:
            written = write_part(part, lambda count: _say({"fetched": count}))
        except BrokenPipeError:
            _leave()
        except OSError as error:
            _say({"error": str(error)})
            return
        _say({"written": asdict(written)})


def _leave() -> NoReturn:
    """Nobody listens: the crawl was killed, and what starts next writes these files again."""
    os._exit(1)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
