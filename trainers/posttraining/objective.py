"""What the objectives of post-training share: the model they train, texts in batches, experts in balance, lines a row.

Shape suffixes: N trained positions, S texts, L layers, E experts, B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from trainers.core.expert_balance import ExpertBalance, RoutingSums
from trainers.core.loading import ADAPTERS
from trainers.core.objective import Objective
from trainers.core.ranks import Ranks, put
from trainers.data.loader import ShuffledLoader, share_of
from trainers.models import adapters as lora
from trainers.models.config import MoEConfig, flops_per_token
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.moe import MoEDecoder, load_balancing_loss, of_tokens, router_z_loss
from trainers.posttraining.begin import Beginning
from trainers.posttraining.examples import Example, Examples
from trainers.posttraining.layout import Layout, laid_out
from trainers.posttraining.models import buffers_of
from trainers.posttraining.sample_losses import SampleLosses

Sample = tuple[Example, ...]


@dataclass(frozen=True)
class Notes:
    """What some samples of a step add to its metrics."""

    sums: Mapping[str, float]
    """Added up over the samples, each with `count`."""
    count: float
    rows: Sequence[Mapping[str, Any]]
    """A line a sample for sample_losses/."""
    routing: RoutingSums | None = None


class PostTraining(Objective):
    """Texts with labels, and a decoder that may be a mixture of experts or have adapters."""

    asks = 0
    """Numbers that `asked` gives."""

    def __init__(self, beginning: Beginning, examples: Examples, *, seed: int, lines: bool) -> None:
        self.beginning, self.config, self.examples = beginning, beginning.config, examples
        self.model_config = beginning.model
        self.loader: ShuffledLoader[Examples] = ShuffledLoader(examples, seed)
        self.undecayed = ("embedding.weight",)
        self.entry_points = ("score", "hidden")
        self.balance = ExpertBalance(beginning.model)
        self.mixture = beginning.model if isinstance(beginning.model, MoEConfig) else None
        # Both losses of the routers are means over the tokens of the whole step.
        mixture = self.mixture
        self._balances = mixture is not None and bool(mixture.load_balancing_weight or mixture.router_z_weight)
        self.surveys = self._balances or self.asks > 0
        self.step = 0
        self._initial: DenseDecoder | None = beginning.decoder
        self._surveyed: Tensor | None = None
        self._wants_lines, self._lines = lines, cast("SampleLosses", None)
        self._sums: dict[str, float] = {}
        self._count = 0.0
        self._given = 0
        self._tokens = [0]

    # The model

    def build(self) -> nn.Module:
        model = decoder(self.model_config)
        model.recompute = self.config.recompute
        if self.beginning.adapters is not None:
            lora.adapt(model, self.beginning.adapters)
        return model

    def blocks(self, model: nn.Module) -> Sequence[nn.Module]:
        return list(cast(DenseDecoder, model).blocks)

    def initialise(self, model: nn.Module) -> None:
        assert self._initial is not None
        weights = self._initial.state_dict()
        for name, parameter in model.named_parameters():
            if base := lora.base_name(name):
                put(parameter, weights[base])
        lora.draw(model, self.config.seed, put)
        with torch.no_grad():
            buffers_of(model)
        self._initial = None

    # Its data

    def prepare(self, out: Path) -> None:
        self.beginning.keep(out)
        if self._wants_lines:
            self._lines = SampleLosses(out, len(self.examples), self.ranks.rank)
            self._lines.go_back(0 if not any(out.glob("step_*")) else 2**62)

    def placeholder(self) -> Any:
        return [self.examples.sample(0)]

    def laid_out(self, texts: Sequence[Any], device: torch.device) -> Layout:
        """The texts as rows, packed as the configuration says."""
        return laid_out(texts, device, packed=self.config.packed, length=self.beginning.length)

    def tokens(self, step: int) -> int:
        while len(self._tokens) <= step:
            taken = self.loader.items((len(self._tokens) - 1) * self.config.batch, self.config.batch)
            self._tokens.append(self._tokens[-1] + sum(len(e) for s in self.examples[taken] for e in s))
        return self._tokens[step]

    def flops(self, tokens: int) -> int | None:
        mean = max(1, round(self.examples.counts["tokens"] / self.examples.counts["examples"]))
        return flops_per_token(self.model_config, mean) * tokens

    # A step

    def begin_step(self) -> None:
        self.step += 1
        self.balance.clear()
        self._surveyed, self._sums, self._count, self._given = None, {}, 0.0, 0

    def note(self, notes: Notes, share: float) -> None:
        self.balance.add(notes.routing, share)
        if not share:
            return
        for name, value in notes.sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += notes.count
        if self._wants_lines:
            first, _ = share_of(
                (self.step - 1) * self.config.batch, self.config.batch, self.ranks.rank, self.ranks.count
            )
            self._lines.add(self.step, first + self._given, notes.rows)
        self._given += len(notes.rows)

    def columns(self, ranks: Ranks) -> dict[str, Any]:
        device = torch.device("cpu")
        count = ranks.total(self._count, device) or 1.0
        means = {name: ranks.total(value, device) / count for name, value in sorted(self._sums.items())}
        return {**means, **self.balance.report(ranks)}

    # Experts in balance

    def survey(self, model: nn.Module, samples: Any, device: torch.device) -> Tensor:
        """What the objective asks of a whole step, then the counts of each expert and layer and the samples' weight."""
        asked = self.asked(model, samples, device)
        if not self._balances:
            return asked
        layout = self.laid_out(self.texts_of(samples), device)
        self.read(model, layout)
        routings = of_tokens(self.router(model).routings, layout.held_BT.flatten())
        return torch.cat([asked, self._router_sums(routings, self.weight(samples))])

    def texts_of(self, samples: Any) -> list[Any]:
        """The texts that `loss` reads of some samples."""
        return [text for sample in samples for text in sample]

    def read(self, model: nn.Module, layout: Layout) -> None:
        """Read texts as `loss` does, for the decisions of the routers."""
        cast(DenseDecoder, model).hidden(layout.tokens_BT, layout.documents)

    def router(self, model: nn.Module) -> MoEDecoder:
        """The mixture of experts in the model."""
        return cast(MoEDecoder, model)

    def asked(self, model: nn.Module, samples: Any, device: torch.device) -> Tensor:
        """Sums over samples that the losses of a step need of all of them, float64; none but where a class says so."""
        del model, samples
        return torch.zeros(0, dtype=torch.float64, device=device)

    def of_step(self, model: nn.Module, samples: Any, device: torch.device) -> Tensor:
        """`asked` of the whole step, of which these samples are all where it was not surveyed."""
        if self._surveyed is not None:
            return self._surveyed[: self.asks]
        with torch.no_grad():
            own = self.asked(model, samples, device)
        return self.ranks.totals(own) if self.ranks.count > 1 else own

    def surveyed(self, total: Tensor) -> None:
        self._surveyed = total

    @staticmethod
    def _router_sums(routings: Sequence[Any], weight: float) -> Tensor:
        counts = torch.cat([routing.counts_E for routing in routings]).double()
        return torch.cat([counts, counts.new_tensor([weight])])

    def router_terms(self, model: nn.Module, layout: Layout, weight: float) -> tuple[Tensor, RoutingSums | None]:
        """What the last forward pass adds to the loss of samples of this weight, and its routing for the metrics.

        The load-balancing loss is that of all tokens of the step other than padding, however they are laid out and cut
        into pieces. As the loop weights the losses of pieces by their samples, and these terms are means over tokens,
        they are scaled by the quotient of the two shares.
        """
        if self.mixture is None:
            return torch.zeros((), device=layout.tokens_BT.device), None
        routings = of_tokens(self.router(model).routings, layout.held_BT.flatten())
        own = self._router_sums(routings, weight)
        total = self._surveyed[self.asks :] if self._surveyed is not None and self._balances else None
        if total is None:
            total = self.ranks.totals(own.clone()) if self.ranks.count > 1 else own
        L, E = self.mixture.layers, self.mixture.experts
        counts_LE = total[:-1].view(L, E)
        share_of_tokens = own[:E].sum() / total[:E].sum()
        scale = (share_of_tokens * total[-1] / weight).float() if weight else share_of_tokens.float()
        balance = load_balancing_loss(routings, counts_LE) * scale
        z = router_z_loss(routings) * scale
        term = self.mixture.load_balancing_weight * balance + self.mixture.router_z_weight * z
        counts = torch.stack([routing.counts_E for routing in routings])
        losses_2 = torch.stack([balance.detach(), z.detach()])
        return term, RoutingSums(counts, losses_2, len(routings[0].expert_Nk))

    # Checkpoints

    def state(self) -> dict[str, Any]:
        if self._wants_lines:
            self._lines.write(self.step)
        own: dict[str, Any] = {"steps_begun": self.step}
        if self.beginning.stop is not None:
            own["eot"] = self.beginning.stop
        if self.beginning.adapters is not None:
            own[ADAPTERS] = {"rank": self.beginning.adapters.rank, "alpha": self.beginning.adapters.alpha}
        return own

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["steps_begun"])
        if self._wants_lines:
            self._lines.go_back(self.step)

    def result(self, tokens: int, measured: Mapping[str, float]) -> dict[str, Any]:
        return {**measured, "data": self.examples.counts}

    # Measuring

    def over(
        self,
        model: nn.Module,
        examples: Examples | None,
        ranks: Ranks,
        samples: int,
        measured: Callable[[nn.Module, list[Sample], torch.device], Tensor],
    ) -> Tensor | None:
        """The sum of `measured` over held-out samples and ranks, without gradients; None where there are none."""
        if examples is None:
            return None
        device = next(model.parameters()).device
        total: Tensor | None = None
        for start in range(0, len(examples), samples * ranks.count):
            rows = np.arange(start, min(start + samples * ranks.count, len(examples)))
            mine = np.array_split(rows, ranks.count)[ranks.rank]
            with torch.no_grad():
                found = measured(model, examples[mine if len(mine) else rows[:1]], device).double()
            found = found if len(mine) else torch.zeros_like(found)
            total = found if total is None else total + found
        assert total is not None
        return ranks.totals(total)
