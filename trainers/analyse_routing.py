"""How a mixture routes: saturation, co-activation, domain and vocabulary specialisation.

    python -m trainers.analyse_routing --checkpoint runs/70k-moe-1xC --shards shards --out routing

The checkpoint is a run folder, a checkpoint of it or an Olmoe in the Hugging Face format; of a run folder the older
checkpoints are compared with the newest, others with --earlier. Domains are shard folders with names
(--shards law=FOLDER --shards code=FOLDER), or spans of a folder's token stream: --domains FILE, Parquet or JSON lines
of shard, start, stop and domain. DIR then holds

    routing.json          the checkpoints, the tokens, and a summary a layer
    counts.npz            the sums of routing_counts.py, by the names of its fields
    saturation.jsonl      checkpoint, step, layer, top_k, saturation
    coactivation.jsonl    layer, expert, other, all_pairs, rank_adjacent
    domains.jsonl         domain, layer, expert, tokens, share
    vocabulary.jsonl      variant, layer, expert, token, occurrences, share: an expert's most own tokens
    *.png                 a picture of each
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trainers.core import checkpoint
from trainers.core.loading import load_decoder
from trainers.data.shards import Sequences, Split, check_manifest
from trainers.models.config import MoEConfig
from trainers.models.moe import MoEDecoder
from trainers.process.config_file import read_config
from trainers.process.device import chosen_device
from trainers.process.errors import TrainerError, exit_code
from trainers.process.files import read_jsonl, whole_file, write_json, write_jsonl
from trainers.process.optional import need
from trainers.process.progress import Progress, pipes_session
from trainers.routing.counts import Ints, RoutingCounts, saturation
from trainers.routing.tables import coactivation_rows, domain_rows, summary, vocabulary_rows

PREDICTED_ROWS = 1024
"""Tokens whose logits are held at a time."""


@dataclass(frozen=True, kw_only=True)
class RoutingConfig:
    """What to look at, and where to write it."""

    checkpoint: Path
    shards: tuple[tuple[str, Path], ...]
    """(domain, folder with manifest.jsonl or with heldout/); "" leaves the domain to `domains`."""
    out: Path
    earlier: tuple[Path, ...] = ()
    domains: Path | None = None
    sequences: int = 1024
    """The most a folder; 0: all."""
    batch: int = 8
    device: str = "auto"


@dataclass(frozen=True)
class Corpus:
    """A split, and the domain of each of its tokens."""

    split: Split
    name: str
    spans: dict[str, tuple[Ints, Ints, Ints]]
    """By shard: start, stop and domain of the documents in its stream, in order."""

    def domain_of(self, items: Ints, length: int, names: Sequence[str]) -> Ints:
        """(len(items), length): domain numbers of the first tokens of the sequences numbered `items`; -1: none."""
        if self.name:
            return np.full((len(items), length), names.index(self.name))
        found = np.full((len(items), length), -1)
        first = np.cumsum([0, *(shard.num_sequences for shard in self.split.shards)])
        for row, item in enumerate(items):
            shard = int(np.searchsorted(first, item, side="right")) - 1
            spans = self.spans.get(self.split.shards[shard].shard)
            if spans is not None:
                start, stop, domain = spans
                places = (item - first[shard]) * (self.split.sequence_length + 1) + np.arange(length)
                at = np.maximum(np.searchsorted(start, places, side="right") - 1, 0)
                inside = (start[at] <= places) & (places < stop[at])
                found[row, inside] = domain[at[inside]]
        return found


def analyse(config: RoutingConfig) -> dict[str, Any]:
    """Run the checkpoints over the shards and write the tables, arrays and pictures; returns routing.json."""
    with pipes_session() as pipes:
        return _analyse(config, pipes)


def _analyse(config: RoutingConfig, pipes: Any) -> dict[str, Any]:
    need("matplotlib", work="a picture of routing")
    if config.domains is not None and config.domains.suffix == ".parquet":
        need("pyarrow", work=f"reading {config.domains}")
    corpora, names = read_corpora(config)
    final, earlier = _checkpoints(config)
    model = load_mixture(final, config.device)
    _check_vocabulary(model, corpora)
    moe = model.config
    assert isinstance(moe, MoEConfig)
    if moe.choice == "expert":
        raise TrainerError(
            f"experts choose their tokens in {final.name}, so that a token has no fixed number of experts",
            "analyse a mixture whose tokens choose their experts",
        )
    counts = RoutingCounts(moe.layers, moe.experts, moe.experts_per_token, names, moe.vocab_size)
    chosen = []
    for expert_LNk, domain_N, token_N in _routed(model, corpora, config, names, final.name, predict=True, pipes=pipes):
        counts.add(expert_LNk, domain_N, token_N)
        chosen.append(expert_LNk.astype(np.int16))
    del model
    rows = []
    for place in earlier:
        rows += _saturation_rows(place, config, corpora, names, np.concatenate(chosen, axis=1))
    return _write(config, counts, rows, final, earlier)


def load_mixture(source: Path, device: str) -> MoEDecoder:
    """The mixture in a checkpoint or Hugging Face folder; TrainerError for a dense model."""
    model = load_decoder(source)
    if not isinstance(model, MoEDecoder):
        raise TrainerError(f"{source} is a dense model: it routes nothing", "give a mixture of experts")
    return model.to(chosen_device(device)).eval()


def read_corpora(config: RoutingConfig) -> tuple[list[Corpus], tuple[str, ...]]:
    """The shard folders, and the names of all domains in order."""
    spans = _read_spans(config.domains) if config.domains else []
    names = tuple(sorted({name for name, _ in config.shards if name} | {str(row["domain"]) for row in spans}))
    by_shard: dict[str, list[tuple[int, int, int]]] = {}
    for row in spans:
        span = (int(row["start"]), int(row["stop"]), names.index(str(row["domain"])))
        by_shard.setdefault(str(row["shard"]), []).append(span)
    columns = {shard: np.array(sorted(rows), dtype=np.int64).T for shard, rows in by_shard.items()}
    arrays = {shard: (starts, stops, domains) for shard, (starts, stops, domains) in columns.items()}
    corpora = []
    for name, folder in config.shards:
        place = folder if (folder / "manifest.jsonl").is_file() else folder / "heldout"
        corpora.append(Corpus(check_manifest(place, digests=False), name, {} if name else arrays))
    return corpora, names


def _read_spans(path: Path) -> list[dict[str, Any]]:
    mend = "give Parquet or JSON lines with the columns shard, start, stop and domain"
    if not path.is_file():
        raise TrainerError(f"{path} does not exist", mend)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    else:
        rows = read_jsonl(path)
    if not rows or not {"shard", "start", "stop", "domain"} <= rows[0].keys():
        raise TrainerError(f"{path} names no spans", mend)
    return rows


def _checkpoints(config: RoutingConfig) -> tuple[Path, list[Path]]:
    """The one to analyse and those before it: given, or the older ones of its run."""
    folders = checkpoint.checkpoint_folders(config.checkpoint)
    if not folders:
        return config.checkpoint, list(config.earlier)
    final = checkpoint.chosen(config.checkpoint).folder
    return final, list(config.earlier) or [folder for folder in folders if folder.name < final.name]


def _check_vocabulary(model: MoEDecoder, corpora: Sequence[Corpus]) -> None:
    for corpus in corpora:
        if corpus.split.vocab_size > model.config.vocab_size:
            theirs, ours = corpus.split.vocab_size, model.config.vocab_size
            raise TrainerError(
                f"{corpus.split.folder} has a vocabulary of {theirs}, the model {ours}",
                "write shards with the model's tokenizer",
            )


def _routed(
    model: MoEDecoder,
    corpora: Sequence[Corpus],
    config: RoutingConfig,
    names: Sequence[str],
    label: str,
    *,
    predict: bool,
    pipes: Any = None,
) -> Iterator[tuple[Ints, Ints, dict[str, Ints]]]:
    """Of some tokens at a time: their experts (L, N, k), domains (N,) and, if asked, variants (N,) by name."""
    device = next(model.parameters()).device
    limits = [min(config.sequences or corpus.split.num_sequences, corpus.split.num_sequences) for corpus in corpora]
    progress, done = Progress("routing", label, sum(limits), pipes=pipes), 0
    for corpus, limit in zip(corpora, limits, strict=True):
        sequences = Sequences(corpus.split)
        length = min(corpus.split.sequence_length, model.config.sequence_length)
        for start in range(0, limit, config.batch):
            items = np.arange(start, min(start + config.batch, limit))
            tokens_BS = sequences[items][:, : length + 1]
            with torch.inference_mode():
                x_BTD = model.hidden(torch.from_numpy(tokens_BS[:, :-1]).to(device))
                token_N = {"input": tokens_BS[:, :-1].ravel(), "target": tokens_BS[:, 1:].ravel()}
                if predict:
                    token_N["predicted"] = _predicted(x_BTD.flatten(0, 1), model.output_weight)
            experts = torch.stack([routing.expert_Nk for routing in model.routings]).cpu().numpy()
            done += len(items)
            progress.step(done)
            yield experts, corpus.domain_of(items, length, names).ravel(), token_N


def _predicted(x_ND: torch.Tensor, weight_VD: torch.Tensor) -> Ints:
    parts = [F.linear(x_CD, weight_VD).argmax(-1) for x_CD in x_ND.split(PREDICTED_ROWS)]
    return torch.cat(parts).cpu().numpy()


def _saturation_rows(
    place: Path, config: RoutingConfig, corpora: Sequence[Corpus], names: Sequence[str], final_LNk: NDArray[np.int16]
) -> list[dict[str, Any]]:
    model = load_mixture(place, config.device)
    shape = (model.config.layers, final_LNk.shape[-1])
    given = [expert_LNk for expert_LNk, *_ in _routed(model, corpora, config, names, place.name, predict=False)]
    early_LNk = np.concatenate(given, axis=1)
    if early_LNk.shape != final_LNk.shape:
        raise TrainerError(
            f"{place} has other layers or experts a token {shape} than the last", "give one run's checkpoints"
        )
    k = final_LNk.shape[-1]
    all_L, first_L = saturation(early_LNk, final_LNk)
    step = checkpoint.open_checkpoint(place).step if (place / checkpoint.STATE).is_file() else None
    return [
        {"checkpoint": place.name, "step": step, "layer": layer, "top_k": top, "saturation": float(shares[layer])}
        for top, shares in {k: all_L, 1: first_L}.items()
        for layer in range(len(shares))
    ]


def _write(
    config: RoutingConfig, counts: RoutingCounts, rows: list[dict[str, Any]], final: Path, earlier: Sequence[Path]
) -> dict[str, Any]:
    from trainers.routing.pictures import plot_all

    out = config.out
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / "counts.npz") as file:
        np.savez_compressed(
            file,
            together_LEE=counts.together_LEE,
            adjacent_LEE=counts.adjacent_LEE,
            domain_DLE=counts.domain_DLE,
            domain_tokens_D=counts.domain_tokens_D,
            **{f"first_LVE_{variant}": table for variant, table in counts.first_LVE.items()},  # ty: ignore
        )
    write_jsonl(out / "saturation.jsonl", rows)
    write_jsonl(out / "coactivation.jsonl", coactivation_rows(counts))
    write_jsonl(out / "domains.jsonl", domain_rows(counts))
    write_jsonl(out / "vocabulary.jsonl", vocabulary_rows(counts))
    pictures = plot_all(counts, rows, out)
    report = {
        "checkpoint": final.name,
        "earlier": [place.name for place in earlier],
        "layers": counts.layers,
        "experts": counts.experts,
        "experts_per_token": counts.k,
        "tokens": counts.tokens,
        "domain_tokens": dict(zip(counts.domains, counts.domain_tokens_D.tolist(), strict=True)),
        "summary": summary(counts),
        "pictures": [picture.name for picture in pictures],
    }
    write_json(out / "routing.json", report)
    return report


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.rpartition("=")
    return (name if equals else "", Path(folder))


def read_routing_config(path: str) -> RoutingConfig:
    """The same options from a YAML or JSON file; `shards` is a list of [DOMAIN=]FOLDER."""
    options = read_config(path, RoutingConfig)
    shards = (options.shards,) if isinstance(options.shards, str) else options.shards
    return replace(
        options,
        checkpoint=Path(options.checkpoint),
        shards=tuple(_named(str(each)) for each in shards),
        out=Path(options.out),
        earlier=tuple(map(Path, options.earlier)),
        domains=Path(options.domains) if options.domains else None,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["--config"] and len(given) == 2:
        return exit_code(lambda: analyse(read_routing_config(given[1])))
    parser = argparse.ArgumentParser(
        prog="python -m trainers.analyse_routing",
        description="How a mixture of experts routes. `--config FILE` alone takes all options from a file.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="run folder, checkpoint or Hugging Face folder")
    parser.add_argument("--shards", type=_named, required=True, action="append", metavar="[DOMAIN=]FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--earlier", type=Path, action="append", default=[], help="a checkpoint to compare with")
    parser.add_argument("--domains", type=Path, help="spans of the shards' streams with their domains")
    parser.add_argument("--sequences", type=int, default=1024, help="the most a folder; 0: all")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="auto")
    options = vars(parser.parse_args(given))
    options |= {"shards": tuple(options["shards"]), "earlier": tuple(options["earlier"])}
    return exit_code(lambda: analyse(RoutingConfig(**options)))


if __name__ == "__main__":
    sys.exit(main())
