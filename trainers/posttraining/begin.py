"""What every post-training run begins with: a model, its tokenizer and chat template, and the examples of its data."""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainers.core.checkpoint import digest_of
from trainers.core.plan import Plan
from trainers.data.json_rows import read_rows
from trainers.models.adapters import Adapters
from trainers.models.config import DenseConfig, MoEConfig, literals
from trainers.models.dense import DenseDecoder
from trainers.posttraining.config import CODE_VERSION, PostTrainingConfig, check, optimiser_of
from trainers.posttraining.examples import Examples, Make, made_examples
from trainers.posttraining.labels import ChatFormat, Labelled, Replies, named_stops, truncated
from trainers.posttraining.rows import REPLY, UnusableRow
from trainers.process.config_file import check_fields
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_file, sha256_text, write_json, write_text
from trainers.process.run_folder import TOKENIZER
from trainers.serving.chat import ChatTemplate
from trainers.serving.served import TEMPLATE_FILE, TOKENIZER_CONFIG, open_served

OWN_TEMPLATE = Path(__file__).parent / "tulu.jinja"


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The model that a run begins with, and how it reads chats."""

    config: PostTrainingConfig
    decoder: DenseDecoder
    """In float32 on the CPU."""
    model: DenseConfig
    """Its shape in this run: attention does not stop at a separator, as a chat holds one a reply."""
    format: ChatFormat
    digest: str
    """Hex SHA-256 of the weights."""

    @property
    def length(self) -> int:
        """Tokens of a text at most."""
        longest = self.model.sequence_length
        return min(self.config.length or longest, longest)

    @property
    def adapters(self) -> Adapters | None:
        """What is trained in place of the weights, if anything is."""
        return Adapters(**self.config.adapters) if self.config.adapters else None

    @property
    def stop(self) -> int | None:
        """The token that ends a reply: the first that the configuration names, else the one that the template writes.

        That need not be the model's own end of a text, which is taken where the template writes none.
        """
        if self.format.stops:
            return self.format.stops[0]
        try:
            (reply,) = self.format.labelled([{"role": "user", "content": "a"}, {"role": REPLY, "content": "b"}])
        except UnusableRow:
            return self.format.tokenizer.number(str(self.format.template.names.get("eos_token") or ""))
        return int(reply.tokens[reply.labels][-1])

    def fit(self, labelled: Labelled) -> Labelled:
        """The text in at most `length` tokens.

        Raises:
            UnusableRow: it is too long and is to be left out, or nothing that is trained on is left.
        """
        if len(labelled) > self.length and self.config.overlong == "leave out":
            raise UnusableRow(f"it has more than {self.length} tokens")
        return truncated(labelled, self.length)

    def keep(self, out: Path) -> None:
        """Write tokenizer and template beside the checkpoints: `trainers.serve` and others ask the model by them."""
        write_text(out / TOKENIZER, self.format.tokenizer.text)
        write_text(out / TEMPLATE_FILE, self.format.template.text)
        names = {name: value for name, value in self.format.template.names.items() if name.endswith("_token") and value}
        write_json(out / TOKENIZER_CONFIG, names)


def begin(config: PostTrainingConfig, replies: Replies = "all") -> Beginning:
    """Open the model of a run.

    Raises:
        TrainerError: it cannot be read, its tokenizer has more tokens, or a field of the configuration is wrong.
    """
    check(config)
    check_fields(config.adapters, Adapters, "adapters")
    served = open_served(config.model)
    decoder, tokenizer = served.decoder, served.tokenizer
    if tokenizer.size > decoder.config.vocab_size:
        raise TrainerError(
            f"the tokenizer of {config.model} has {tokenizer.size} tokens, the model {decoder.config.vocab_size}",
            "give the model that the tokenizer belongs to",
        )
    template = ChatTemplate.from_file(Path(config.chat_template)) if config.chat_template else served.template
    template = template or ChatTemplate.from_file(OWN_TEMPLATE)
    try:
        date = datetime.strptime(config.template_date, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise TrainerError(f"template_date is {config.template_date!r}", "write it as 2025-01-01") from None
    # The names of a template of the file's own are those of the model.
    own = served.template.names if served.template else {}
    names = {name: value for name, value in own.items() if value}
    if served.ends:
        names.setdefault("eos_token", tokenizer.marker(min(served.ends)))
    form = ChatFormat(
        template=template.fixed(date, config.template_options, names),
        tokenizer=tokenizer,
        stops=named_stops(tokenizer, config.stop),
        not_preserving=config.not_preserving,
        replies=replies,
    )
    return Beginning(
        config=config, decoder=decoder, model=_shape(config, decoder.config), format=form, digest=digest_of(decoder)
    )


def _shape(config: PostTrainingConfig, model: DenseConfig) -> DenseConfig:
    model = replace(model, separator=-1)
    if not isinstance(model, MoEConfig):
        return model
    if model.choice == "expert":
        raise TrainerError(
            f"experts choose their tokens in {config.model}, which depends on later tokens: it cannot write text",
            "post-train a model whose tokens choose their experts",
        )
    weights = {"load_balancing_weight": config.load_balancing_weight, "router_z_weight": config.router_z_weight}
    # The balance of post-training is always that of the whole batch.
    return replace(model, load_balancing_sequences=0, **{name: value for name, value in weights.items() if value >= 0})


def data_digests(paths: Sequence[Path], verify: bool) -> list[Any]:
    """What names the data in a fingerprint: the SHA-256 of each file, or its size where they are not to be read."""
    for path in paths:
        if not path.is_file():
            raise TrainerError(f"{path} is not a file", "give files of JSON lines")
    return [sha256_file(path) if verify else path.stat().st_size for path in paths]


def examples_of(
    beginning: Beginning, make: Make, kind: str, *, out: Path, data: Sequence[str], together: int = 1
) -> Examples:
    """The examples of some files, made in `out` once.

    Args:
        kind: what `make` makes, and its options.
    """
    paths = [Path(name) for name in data]
    form = beginning.format
    decides = {
        "kind": kind,
        "data": data_digests(paths, beginning.config.verify),
        "template": sha256_text(form.template.text),
        "names": {name: str(value) for name, value in form.template.names.items()},
        "date": beginning.config.template_date,
        "tokenizer": sha256_text(form.tokenizer.text),
        "format": [form.stops, form.not_preserving, form.replies, beginning.length, beginning.config.overlong],
    }
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out / ".examples.lock"):
        return made_examples(out, read_rows(paths), make, decides, together)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """One process at a time: of several ranks the first makes the examples, and the others read them."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def planned(
    beginning: Beginning, command: str, samples: int, decides: Mapping[str, Any], *, parts: int | None = None
) -> Plan:
    """The run as the training loop takes it.

    Args:
        samples: in the data, of which a step takes `batch`.
        decides: further literals that decide the weights.
    """
    config = beginning.config
    steps = config.steps or max(1, -(-round(config.epochs * samples) // config.batch))
    optimiser = optimiser_of(config, command, steps)
    model = literals(beginning.model)
    identity = {
        "code": CODE_VERSION,
        "command": command,
        "model": model,
        "init": beginning.digest,
        "optimiser": optimiser.identity,
        "batch": config.batch,
        "steps": steps,
        "seed": config.seed,
        "dtype": config.dtype,
        "packed": config.packed,
        **decides,
    }
    if beginning.adapters is not None:
        identity["adapters"] = asdict(beginning.adapters)
    # As JSON has them: a run that is resumed compares with what it reads.
    identity = _plain(identity)
    dense = not isinstance(beginning.model, MoEConfig)
    return Plan(
        config=config,
        name=config.run or command,
        optimiser=optimiser,
        batch=config.batch,
        steps=steps,
        identity=identity,
        fingerprint=sha256_text(canonical_json(identity)),
        parts=parts if parts is not None else (2 if dense else 1),
        lineage=({"kind": "weights", "model": beginning.digest, "path": config.model},),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
