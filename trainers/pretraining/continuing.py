"""A pretraining run that goes on from a checkpoint of another: its identity, its start and its lineage.

With `init` it takes over the weights, and with `moments` the optimiser's moments too: for other data, another batch or
annealing. With `branch` it is the run itself from that step on, in another folder, with weights, moments, step,
schedule and place in the data. What its configuration changes, such as steps, optimiser, sources or skipped batches,
holds from there on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.data.loader import whole_number
from trainers.data.tokenizer_digest import check_same_tokenizer, tokenizer_digest
from trainers.models.config import model_config
from trainers.process.errors import TrainerError
from trainers.process.run_folder import CONFIG as RUN
from trainers.process.run_folder import TOKENIZER, read_config_json

if TYPE_CHECKING:
    from trainers.core.checkpoint import Checkpoint
    from trainers.core.start import Start
    from trainers.data.shards import Split
    from trainers.pretraining.config import RunConfig

STATE = "state.json"
DATA = ("train", "sources", "shuffled", "seed", "batch")
"""Parts of an identity that decide the order of the data."""


@dataclass(frozen=True)
class Continuing:
    """A checkpoint that a run takes moments from, or branches off."""

    checkpoint: Checkpoint
    branch: bool
    own: bool = False
    """Whether the checkpoint is one of the run itself, because the one where it branched off is gone."""

    def identity(self, identity: Mapping[str, Any], skip: list[int]) -> dict[str, Any]:
        """What the run's identity says of the checkpoint and of the batches left out.

        Raises:
            TrainerError: a branch of another model or batch, with no step left, or without a batch that it has read.
        """
        digests = self.checkpoint.state["digests"]
        if self.own:
            recorded = self.checkpoint.state["config"]
            return {"branch": recorded["branch"], **skipped(sorted({*skip, *recorded.get("skip", [])}))}
        if not self.branch:
            return {"moments": digests["optimizer.pt"], **skipped(skip)}
        step, there = self.checkpoint.step, self.checkpoint.state["config"]
        place = self.checkpoint.folder
        self._check_kept(identity, there, place)
        same_data = all(identity.get(name) == there.get(name) for name in DATA)
        data_from = there.get("branch", {}).get("data_from", 0) if same_data else step
        before = there.get("skip", []) if same_data else []
        last = whole_number(step - data_from, before)
        read = [number for number in skip if number <= last and number not in before]
        if read:
            raise TrainerError(
                f"batch {read[0]} was read before step {step} of {place}",
                "skip later batches, or branch off an earlier checkpoint",
            )
        branch = {
            "run": self.checkpoint.state["fingerprint"],
            "step": step,
            "model": digests["model.pt"],
            "optimiser": digests["optimizer.pt"],
            "data_from": data_from,
        }
        return {"branch": branch, **skipped(sorted({*skip, *before}))}

    @staticmethod
    def _check_kept(identity: Mapping[str, Any], there: Mapping[str, Any], place: Path) -> None:
        if not {"model", "batch"} <= there.keys():
            raise TrainerError(f"{place} is not of a pretraining run", "use init for its weights alone")
        if model_config(identity["model"]) != model_config(there["model"]):
            raise TrainerError(
                f"{place} is of another model than this configuration",
                "give the preset and the shards' length of that run, or use init for its weights alone",
            )
        if identity["batch"] != there["batch"]:
            raise TrainerError(
                f"{place} is of a run with batches of {there['batch']}, not {identity['batch']}",
                f"set batch to {there['batch']}, or use init with moments: true",
            )

    def start(self, identity: Mapping[str, Any]) -> Start | None:
        """What the loop takes over; None of a run that goes on from a checkpoint of its own."""
        from trainers.core.start import Start

        if self.own:
            return None
        if not self.branch:
            return Start(checkpoint=self.checkpoint, branch=False)
        step = self.checkpoint.step
        if step >= identity["steps"]:
            raise TrainerError(
                f"{self.checkpoint.folder} is at step {step}, and the run has {identity['steps']} steps",
                "set steps to the last step of the branch, counted from the start of the run that it leaves",
            )
        consumed = (step - identity["branch"]["data_from"]) * identity["batch"]
        return Start(checkpoint=self.checkpoint, branch=True, consumed=consumed)


def check_tokenizer(config: RunConfig, shards: Split) -> None:
    """Refuse to go on from a run whose shards had another tokenizer; TrainerError then."""
    for name in filter(None, (config.init, config.branch)):
        place = Path(name)
        folder = place if not (place / STATE).is_file() else place.parent
        theirs = tokenizer_digest(folder / TOKENIZER) if (folder / RUN).is_file() else ""
        check_same_tokenizer(shards.tokenizer, theirs, ours=str(shards.folder), theirs=f"the run in {folder}")


def skipped(skip: list[int]) -> dict[str, Any]:
    """The field of an identity for batches left out."""
    return {"skip": skip} if skip else {}


def check_skip(config: RunConfig) -> list[int]:
    """The batches to leave out, sorted; TrainerError where one is not a number from 1 on."""
    if any(number < 1 for number in config.skip):
        raise TrainerError(f"skip has the batch {min(config.skip)}", "batches are numbered from 1, as the steps are")
    return sorted(set(config.skip))


def continuing(config: RunConfig) -> Continuing | None:
    """The checkpoint that a run takes moments from or branches off, found whole.

    Raises:
        TrainerError: there is none in the folder, it has no moments, or the configuration names two beginnings.
    """
    from trainers.core import checkpoint

    if config.branch and (config.init or config.moments or config.model):
        raise TrainerError("branch is set with init, moments or model", "leave those out: a branch has all of its run")
    if config.moments and not config.init:
        raise TrainerError("moments is set without init", "give the checkpoint as init")
    name = config.branch or (config.init if config.moments else "")
    if not name:
        return None
    place = Path(name)
    step = _left_at(Path(config.out)) if config.branch else None
    if step is not None and not (place / STATE).is_file() and place.name != checkpoint.folder_name(step):
        # The run that it left may have come further since.
        place /= checkpoint.folder_name(step)
    if not place.is_dir():
        own = checkpoint.latest(Path(config.out)) if step is not None else None
        if own is not None:
            return Continuing(own, branch=True, own=True)
        raise TrainerError(f"{place} is not a folder", "give a run folder or a step_... folder")
    found = checkpoint.chosen(place)
    if checkpoint.OPTIMISER not in found.state["digests"]:
        raise TrainerError(f"{found.folder} holds no moments", "leave out moments: use init for its weights alone")
    return Continuing(found, bool(config.branch))


def _left_at(out: Path) -> int | None:
    """The step at which the run in `out` left another; None of a run that has not begun, or that is not a branch."""
    if not (out / RUN).is_file():
        return None
    return read_config_json(out)["identity"].get("branch", {}).get("step")


def lineage_of(config: RunConfig, found: Continuing | None, initial: str | None) -> tuple[dict[str, Any], ...]:
    """What the run descends from, the oldest first; () of one that begins with weights drawn by its seed.

    Args:
        initial: digest of the weights of `init`.
    """
    from trainers.core import checkpoint
    from trainers.core.start import ancestor, lineage_with

    skip = skipped(check_skip(config))
    if found is not None and found.own:
        return tuple(found.checkpoint.state["lineage"])
    if found is not None:
        kind = "branch" if found.branch else "weights and moments"
        return lineage_with(ancestor(kind, found.checkpoint, **skip), found.checkpoint)
    if initial is None:
        return ()
    try:
        parent = checkpoint.chosen(Path(config.init))
    except TrainerError:  # a folder in the Hugging Face format
        return ({"kind": "weights", "model": initial, "path": config.init, **skip},)
    return lineage_with(ancestor("weights", parent, **skip), parent)
