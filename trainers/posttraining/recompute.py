"""One update of a run from verified rewards, computed again from its rollouts and the weights before it.

The rows may come from anywhere, such as a table that has them: those of the run's own folder are not read. A row whose
tokens, log-probabilities or policy are not those that its digest covers is refused.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainers.core import checkpoint
from trainers.data.json_rows import read_rows
from trainers.posttraining.begin import begin
from trainers.posttraining.config import RLVRConfig
from trainers.posttraining.models import buffers_of
from trainers.posttraining.prompts import Prompts
from trainers.posttraining.rlvr import DECIDES, Verified
from trainers.posttraining.rollouts import Rollout, path_of, write_rollouts
from trainers.process.device import chosen_device
from trainers.process.errors import TrainerError
from trainers.process.run_folder import read_config_json

SHARED = ("batch", "steps", "seed", "dtype", "packed")
"""Fields of every run's identity that decide an update."""


@dataclass(frozen=True, kw_only=True)
class RecomputeConfig:
    """What is computed again. `run`, `step`, `rollouts` and `out` must be given."""

    run: str
    """The folder of the run: its config.json and the checkpoint before the step are read."""
    step: int
    """The update, from 1."""
    rollouts: str
    """A file of JSON lines: rows of rollouts/ or of tulu.rollouts, those of a phase in their order."""
    out: str
    """The JSON file that is written: step, loss, grad_norm, rollouts, tokens, weights."""
    model: str = ""
    """The weights that the run began with; for step 1 alone."""
    value: str = ""
    """The reward model that PPO's value model began with; for step 1 alone."""
    microbatch: int = 0
    """Replies a forward pass; 0: all at once."""
    device: str = "cpu"


@dataclass(frozen=True)
class Update:
    """An update before the optimiser takes it."""

    step: int
    loss: float
    """As metrics.jsonl has it."""
    grad_norm: float
    """Norm of all gradients together, before they are clipped."""
    gradients: Mapping[str, Tensor]
    """By the name of their parameter."""
    rollouts: int
    """Replies that are trained on."""
    tokens: int
    """Their tokens, prompts included."""
    weights: str
    """Hex SHA-256 of the weights before the update."""


def recomputed(config: RecomputeConfig) -> Update:
    """The loss and the gradient of one update.

    Raises:
        TrainerError: the run or its checkpoint before the step is missing, a row is not what the policy drew, or the
            rows of the step's phase are not all there.

    Example:
        >>> update = recomputed(
        ...     RecomputeConfig(run="runs/rlvr", step=3, rollouts="rows.jsonl", out="update.json")
        ... )  # doctest: +SKIP
    """
    run = Path(config.run)
    identity: dict[str, Any] = read_config_json(run)["identity"]
    if "replies" not in identity:
        raise TrainerError(f"{run} is not a run of trainers.rlvr", "give one; other runs have no rollouts")
    if not 1 <= config.step <= identity["steps"]:
        raise TrainerError(f"step is {config.step}", f"the run has the steps 1 to {identity['steps']}")
    before = _before(run, config)
    with tempfile.TemporaryDirectory() as folder:
        _write_phases(Path(config.rollouts), Path(folder))
        rl = _rlvr_config(config, identity, str(before.folder) if before else config.model, folder)
        beginning = begin(rl)
        # Phases take their rollouts from the folder, so that no prompt is read.
        objective = Verified(beginning, cast(Prompts, [None] * rl.batch), None)
        model = objective.build().to(chosen_device(config.device))
        if before is not None:
            before.load_model(model)
            with torch.no_grad():
                buffers_of(model)
        else:
            objective.initialise(model)
        size = rl.batch * rl.replies
        objective.phases.prepare(Path(folder))
        objective.phases.restore({"consumed": (config.step - 1) * size, "trained_tokens": 0})
        taken = objective.phases.next_batch(size)
    loss = _descend(objective, model, taken, config)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norm = math.sqrt(sum(float(each.double().square().sum()) for each in gradients.values()))
    weights = before.model_sha256 if before else beginning.digest
    return Update(config.step, loss, norm, gradients, len(taken), sum(map(len, taken)), weights)


def _before(run: Path, config: RecomputeConfig) -> checkpoint.Checkpoint | None:
    """The checkpoint of the step before; None for the first step, which begins with `model`."""
    if config.step == 1:
        if not config.model:
            raise TrainerError("the first update needs the weights that the run began with", "give them as `model`")
        return None
    folder = run / checkpoint.folder_name(config.step - 1)
    if not folder.is_dir():
        kept = ", ".join(str(checkpoint.open_checkpoint(each).step) for each in checkpoint.checkpoint_folders(run))
        raise TrainerError(
            f"{run} has no checkpoint of step {config.step - 1}, before the update (it has {kept or 'none'})",
            "compute an update that follows a checkpoint; checkpoint_every: 1 and keep_checkpoints: 0 keep them all",
        )
    return checkpoint.open_checkpoint(folder)


def _rlvr_config(config: RecomputeConfig, identity: Mapping[str, Any], model: str, folder: str) -> RLVRConfig:
    """The run's own configuration, with its rollouts in `folder`."""
    fields = {name: identity[name] for name in (*SHARED, *DECIDES)}
    for name in ("load_balancing_weight", "router_z_weight"):
        if name in identity["model"]:
            fields[name] = identity["model"][name]
    return RLVRConfig(
        out=folder,
        model=model,
        data=["-"],
        replay=folder,
        value=config.value,
        adapters=identity.get("adapters", {}),
        **fields,
    )


def _write_phases(rollouts: Path, folder: Path) -> None:
    """Write rows as a run does, a file a phase."""
    phases: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for number, row in read_rows([rollouts]):
        phase = row.get("phase")
        if not isinstance(phase, int) or isinstance(phase, bool):
            raise TrainerError(f"{rollouts}, row {number}: the phase is {str(phase)[:20]!r}", "give rows of rollouts")
        phases[phase].append(row)
    for phase, rows in phases.items():
        write_rollouts(path_of(folder, phase), rows)


def _descend(objective: Verified, model: nn.Module, taken: list[Rollout], config: RecomputeConfig) -> float:
    """Fill the gradients of the model; returns the loss. Pieces count by their weight, as in the training loop."""
    size, total, loss = config.microbatch or len(taken), objective.weight(taken), 0.0
    pieces = [taken[start : start + size] for start in range(0, len(taken), size)]
    device = next(model.parameters()).device
    objective.begin_step()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=objective.config.dtype == "bfloat16")
    if objective.surveys and len(pieces) > 1:
        with torch.no_grad(), autocast:
            objective.surveyed(torch.stack([objective.survey(model, piece, device) for piece in pieces]).sum(0))
    for piece in pieces:
        share = objective.weight(piece) / (total or 1)
        with autocast:
            found = objective.loss(model, piece, device)
        (found.descend * share).backward()
        loss += share * found.report.item()
    return loss


def written(config: RecomputeConfig, update: Update) -> dict[str, Any]:
    """Write the JSON file of an update without its gradients; returns its contents."""
    fields = {name: value for name, value in vars(update).items() if name != "gradients"}
    place = Path(config.out)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    return fields
