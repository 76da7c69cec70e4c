"""The command line of a trainer that takes all its options from one configuration file."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from typing import TypeVar

from trainers.process.config_file import read_config
from trainers.process.errors import exit_code

C = TypeVar("C")


def run_from_config(
    config: type[C],
    work: Callable[[C], object],
    arguments: Sequence[str] | None = None,
    read: Callable[[str, type[C]], C] = read_config,
) -> int:
    """Run `python -m MODULE --config FILE`: read the file as `config`, pass it to `work`, return the exit code.

    Args:
        config: a frozen dataclass with a docstring under each field.
        work: a function of the command's own module, whose name and first line the help shows.
        arguments: of the command line; None: those of this process.
        read: reads the file.
    """
    module = inspect.getmodule(work)
    assert module is not None
    spec = module.__spec__
    name = spec.name if spec is not None else module.__name__
    about = (inspect.getdoc(module) or "").splitlines()[0].split(": python -m")[0]
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=f"{about}.")
    where = config.__module__ if config.__module__ != "__main__" else name
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help=f"YAML or JSON; its fields are those of {config.__name__} in {where.replace('.', '/')}.py",
    )
    path = parser.parse_args(arguments).config
    return exit_code(lambda: work(read(path, config)))
