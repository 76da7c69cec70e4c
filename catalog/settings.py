"""Settings: `watershed.toml`, overridden by environment variables.

Settings name places and resources, which enter no fingerprint. The file is searched from the working directory
upwards. `watershed.local.toml` beside it, which `watershed demo` writes, overrides it, and environment variables
override both: `[spark] master` is `WATERSHED_SPARK_MASTER`, and so on. `docs/configuration.md` lists every entry.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError

FILE = "watershed.toml"
LOCAL_FILE = "watershed.local.toml"


@dataclass(frozen=True, kw_only=True)
class LakeSettings:
    """`[lake]`: the Delta tables and the files beside them."""

    root: str = "lake"
    """Folder or object store URL (s3://bucket/prefix) of the Delta tables."""
    files: str = ""
    """Folder of shards, tokenizers, models and checkpoints; by default `_files` in a local lake, else `files`."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """Options of the object store, as delta-rs names them (AWS_ENDPOINT_URL, AWS_REGION, ...). Missing ones are
    taken from the AWS_ variables of the environment."""


@dataclass(frozen=True, kw_only=True)
class CrawlSettings:
    """`[crawl]`: the archives that `dclm.pool` lists."""

    inputs: list[str] = field(default_factory=lambda: ["crawl"])
    """Folders, files, globs or http(s) URLs of WARC files (plain, .gz, .zst or .xz), or a `.paths` or `.paths.gz` list
    of them."""
    snapshot: str = "local"
    """Name of the crawl, e.g. CC-MAIN-2026-41."""
    files_per_shard: int = 2
    """Archives in a (global, local) shard before the next shard is used; more than 100 times as many spread evenly."""


@dataclass(frozen=True, kw_only=True)
class SqlSettings:
    """`[sql]`: the resources of a query."""

    memory_limit: str = ""
    """Most memory of a query, as in "8GB"; what is larger is sorted and joined on disk. By default 80% of the memory
    of the machine."""
    threads: int = 0
    """Threads of a query; 0 is one per core."""


@dataclass(frozen=True, kw_only=True)
class LicencesSettings:
    """`[licences]`: which licences tables may carry; `watershed check` fails for others."""

    commercial: bool = False
    """Whether every table must allow commercial use."""
    known: bool = False
    """Whether the terms of every licence must be known."""
    forbid: list[str] = field(default_factory=list)
    """Identifiers of licences that no table may carry, as `watershed licences` shows them."""
    accept: list[str] = field(default_factory=list)
    """Conflicts that are accepted, as the check names them: an identifier, or two as in
    "CC-BY-NC-SA-4.0 + CC-BY-SA-4.0"."""


@dataclass(frozen=True, kw_only=True)
class EnergySettings:
    """`[energy]`: the machine and the grid that estimates of energy and emissions assume."""

    watts: float = 100.0
    """Power of a machine without an accelerator while it works, in watts. A command that knows the accelerator uses its
    power."""
    pue: float = 1.1
    """Energy of the building over that of the machines (PUE)."""
    grams_per_kwh: float = 473.0
    """Carbon intensity of the grid, in grams of CO2e a kWh. The default is the world's mean in 2024 (Ember, Global
    Electricity Review 2025, ember-energy.org/latest-insights/global-electricity-review-2025)."""


@dataclass(frozen=True, kw_only=True)
class SparkSettings:
    """`[spark]`: how pool-sized tables are computed."""

    master: str = "local[*]"
    """Spark master; ignored if `remote` is set."""
    remote: str = ""
    """Spark Connect URL (sc://host:15002)."""
    driver_memory: str = "2g"
    """Heap of the driver, which is the whole of Spark if the master is local."""
    config: dict[str, str] = field(default_factory=dict)
    """More Spark configuration, as Spark names it."""
    java_home: str = ""
    """Java 17 or later; by default JAVA_HOME, then the PATH, then the JRE that is installed with Watershed."""


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """`[trainer]`: the hardware that models are trained on."""

    device: str = "auto"
    """auto, cpu or cuda."""
    parallel_runs: int = 0
    """Ladder runs trained at the same time; 0 is one per core on CPU and one per GPU."""
    launcher: list[str] = field(default_factory=list)
    """Words before the name of the module: ["torchrun", "--nproc-per-node=8", "-m"]; this Python if empty."""


@dataclass(frozen=True, kw_only=True)
class DagsterSettings:
    """`[dagster]`: the instance that records runs."""

    home: str = ".dagster"
    """DAGSTER_HOME: a folder inside the project, so that runs survive a restart."""
    port: int = 3000
    """Port of `watershed ui`."""
    owners: dict[str, str] = field(default_factory=dict)
    """Who owns the tables of a role: an address of electronic mail, or team:NAME. The default is team:ROLE."""
    tags: dict[str, str] = field(default_factory=dict)
    """Tags that every table carries in Dagster."""
    code_url: str = ""
    """Address of the folder of the code, to which the pages of tables link."""


@dataclass(frozen=True, kw_only=True)
class AutomationSettings:
    """`[automation]`: what Dagster starts by itself. Everything is off by default."""

    new_archives: bool = False
    """Whether tables are made again when `[crawl] inputs` names archives that are not in dclm.pool."""
    schedule: str = ""
    """A cron expression, in UTC: when tables that are out of date are made. Empty is never."""
    freshness: bool = False
    """Whether Dagster marks a table as late that is older than its contract allows."""
    cheap_tables: bool = False
    """Whether tables that take seconds are made again as soon as a table that they read has changed."""
    alerts: str = field(default="", repr=False)
    """A URL that is sent a message for every failed run. It may hold a secret, so it is never printed."""
    jobs: list[str] = field(default_factory=lambda: ["curation"])
    """The jobs whose tables the sensor and the schedule make."""


@dataclass(frozen=True, kw_only=True)
class LadderSettings:
    """`[ladder]`: which small runs are trained, and which large ones they predict."""

    name: str = "small"
    """A ladder of trainers/pretraining/presets.py."""
    targets: list[str] = field(default_factory=list)
    """Runs to forecast, then train and measure, such as 270k-0.5xC; by default the ladder's own target."""


@dataclass(frozen=True, kw_only=True)
class RegistrySettings:
    """`[registry]`: models and evaluations of others, imported into `models.registry` and `evals.registry`."""

    folder: str = ""
    """Folder of the JSON files of DCLM's experiment registry; empty if it is not used."""


@dataclass(frozen=True, kw_only=True)
class DialoguesSettings:
    """`[dialogues]`: which models make dialogues, how many, and about what."""

    models: list[str] = field(default_factory=list)
    """Entries of `[models]` that make dialogues."""
    count: int = 40
    """Dialogues of a model."""
    counts: dict[str, int] = field(default_factory=dict)
    """Dialogues of single models, by entry."""
    subtopics: int = 20
    """Subtopics that a model is asked for, for each domain."""
    turns: int = 12
    """Messages after which a dialogue ends."""
    turn_tokens: int = 256
    """Most tokens of a message."""
    text_tokens: int = 512
    """Most tokens of a plan or a critique."""
    temperature: float = 0.8
    """Temperature of everything but flags, which are decided greedily."""
    principles_each: int = 2
    """Principles that a dialogue puts to the test."""
    principles: str = ""
    """JSON-lines file of principles, with `id` and `text`; by default the one that comes with Watershed."""
    domains: str = ""
    """JSON-lines file of domains, with `domain`; by default the one that comes with Watershed."""


@dataclass(frozen=True, kw_only=True)
class TuluSettings:
    """`[tulu]`: mixtures, decontamination, preferences and evaluations of post-training."""

    mixtures: list[str] = field(default_factory=list)
    """Mixtures to make: published ones, or files of the folder `mixtures` of the project."""
    data: str = "tulu"
    """Folder of downloaded data sets, each in a folder of its repository's name."""
    unpinned: str = "warn"
    """What becomes of a data set of which no commit is declared or recorded: warn or refuse."""
    tokenizer: str = ""
    """File tokenizer.json that counts trained tokens; empty for no counts."""
    chat_template: str = ""
    """Jinja file of the chat template of these counts."""
    stop: list[str] = field(default_factory=list)
    """Markers that end a reply whose template writes none there, as `stop` of a run."""
    workers: int = 0
    """Threads that filter and search rows; 0 is one per core. Results do not depend on it."""
    evaluations: str = ""
    """Folder of JSON-lines files, each an evaluation that rows are searched for; empty for no search."""
    rule: str = "published"
    """Rule that decides about contamination: published or strict."""
    collection: str = "pairs"
    """Name of the set of prompts, completions, judgements and preferences."""
    prompts: list[str] = field(default_factory=list)
    """JSON-lines files of prompts for preferences, with `pool` (used, unused, other) and `source` on each line."""
    personas: str = ""
    """JSON-lines file of personas, with `persona`; by default the one that comes with Watershed."""
    persona_prompts: int = 0
    """Prompts that the model `writer` writes for personas."""
    skills: list[str] = field(default_factory=lambda: ["instructions", "word-problems", "programs"])
    """Skills of these prompts: published ones, or files of the folder `skills` of the project."""
    writer: str = ""
    """Entry of [models] that writes prompts."""
    generators: list[str] = field(default_factory=list)
    """Entries of [models] that reply to prompts."""
    replies: int = 4
    """Models that are drawn for each prompt."""
    on_policy: str = ""
    """The generator that is to be trained; it replies to every prompt."""
    judge: str = ""
    """Entry of [models] that judges replies."""
    pairs: str = "random_other"
    """How the rejected reply is drawn: random_other, worst, or delta."""
    delta: list[str] = field(default_factory=list)
    """For delta: the strong and the weak generator. No judge is asked."""
    most_longer: int = -1
    """Words by which a chosen reply may be longer than the rejected one; -1 for no limit."""
    results: str = ""
    """Folder of recorded replies to evaluations, MODEL/TASK.jsonl; empty for none."""
    baseline: str = ""
    """Model of these results that all others are compared with."""
    select_tasks: list[str] = field(default_factory=list)
    """Tasks by which models are selected; by default all of the development suite that every model has."""


@dataclass(frozen=True, kw_only=True)
class ScholarSettings:
    """`[scholar]`: the papers that answers cite, and how they are searched."""

    papers: list[str] = field(default_factory=list)
    """Files, folders and patterns of papers: records of peS2o and Semantic Scholar (JSON lines), texts and PDFs."""
    words: int = 250
    """Words of a passage."""
    stride: int = 0
    """Words from the begin of a passage to that of the next one; 0 for passages that do not overlap."""
    encoder: str = "wordllama"
    """Encoder of the passages: wordllama, all-minilm-l6-v2, or the folder of a model of sentence-transformers or of
    static embeddings."""
    index: str = "auto"
    """Kind of the index of vectors: auto, exact, usearch, ivf-rabitq or ivf-pq."""
    reranker: str = ""
    """Folder of a cross-encoder of sentence-transformers that orders the passages found; empty for none."""


@dataclass(frozen=True, kw_only=True)
class MathfishSettings:
    """`[mathfish]`: standards, problems, and the models that are asked about them."""

    standards: str = ""
    """JSON-lines file of standards in MathFish's schema; by default a small curriculum that comes with Watershed."""
    domain_groups: str = ""
    """JSON file of the groups of domains that tagging begins with; by default MathFish's eleven, described by us."""
    problems: list[str] = field(default_factory=list)
    """Files, folders and patterns of problems (JSON lines, Parquet); by default made ones that come with Watershed."""
    teachers: str = ""
    """CSV file of teachers' verdicts of generated problems; by default those of the made problems, if they are used."""
    models: list[str] = field(default_factory=list)
    """Entries of [models] that are asked."""
    replies: str = ""
    """Folder of recorded replies, MODEL.jsonl with `id` and `response`; a model that has a file is not asked."""
    problems_each: int = 0
    """Problems of each file that models are asked about, spread over grades; 0 for all."""
    shots: int = 0
    """Worked examples in a prompt: 0, 1 or 3."""
    wording_problems: int = 0
    """Problems of each file on which the wordings of the prompts are compared for each model. They are of a development
    split, a fifth of the problems with labels, which is not asked about then. 0: all prompts have the first wording."""
    negatives: int = 1
    """Standards that each of the five negative strategies draws for a problem."""
    problem_characters: int = 0
    """Most characters of a problem in a prompt; 0 for all."""
    reply_tokens: int = 32
    """Most tokens of a reply that names options, a verdict, or yes or no."""
    solve_tokens: int = 256
    """Most tokens of a worked answer."""
    temperature: float = 0.0
    """Temperature of the replies."""
    cap: float = 0.0
    """Most US dollars that a table of a model may cost; 0 is no limit."""
    seed: int = 0
    """Seed of all draws."""


@dataclass(frozen=True, kw_only=True)
class RouterSettings:
    """`[router]`: the domains that experts are trained on, and how."""

    domains: list[str] = field(default_factory=list)
    """Folders in BEIR's layout, each with an expert. The name of a domain is that of its folder."""
    unseen: list[str] = field(default_factory=list)
    """Folders in BEIR's layout without an expert, on which the router is compared too."""
    encoder: str = "all-minilm-l6-v2"
    """The frozen encoder: all-minilm-l6-v2, or the folder of a model of sentence-transformers."""
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    """Seeds; each trains every expert anew."""
    rank: int = 8
    """Rank of the adapters."""
    epochs: float = 5.0
    """How often an expert reads its pairs."""
    batch: int = 32
    """Pairs a step; the documents of all of them are the negatives of each."""
    learning_rate: float = 1e-4
    """Peak."""
    temperature: float = 0.05
    """Similarities are divided by it in training."""
    mined: int = 1
    """Hard negatives that are found for each pair with the frozen encoder."""


@dataclass(frozen=True, kw_only=True)
class PixmoSettings:
    """`[pixmo]`: files of the PixMo datasets, how their pictures are downloaded, and the shards made of them."""

    data: str = "pixmo"
    """Folder of downloaded repositories: pixmo-cap, pixmo-points and so on."""
    annotations: str = "annotations"
    """Folder that `watershed annotate` and `watershed captions` write to; its rows are read beside those of `data`."""
    round: str = "first"
    """Name of the round of downloads. A new name asks every address again, so that rot is seen."""
    most_missing: float = 0.3
    """Share of missing pictures, and of pictures that were lost since an earlier round, from which on a check warns."""
    concurrency: int = 64
    """Addresses in flight."""
    per_host: int = 4
    """Addresses of one host in flight."""
    host_interval: float = 0.0
    """Seconds between two requests to a host; 0 for no pause."""
    attempts: int = 4
    """Requests for an address whose failures may pass."""
    first_pause: float = 1.0
    """Seconds before the second attempt; it doubles before each further one."""
    timeout: float = 60.0
    """Seconds in which a picture must have arrived."""
    largest: int = 50_000_000
    """Most bytes of a picture."""
    most_pixels: int = 64_000_000
    """Most pixels of a picture."""
    contact: str = ""
    """Address in the User-Agent header, to which hosts can complain."""
    internal: list[str] = field(default_factory=list)
    """HOST:PORT of servers in this network that may be asked for pictures. All other internal addresses are refused."""
    heldout: float = 0.02
    """Share of pictures that are held out of training, besides those of published validation and test splits."""
    samples_per_shard: int = 1000
    """Most samples of a shard."""
    seed: int = 0
    """Seed of the split and the order of samples."""


@dataclass(frozen=True, kw_only=True)
class CaptionerSettings:
    """`[captioner]`: composed scenes, and the models of pictures that are trained on the shards."""

    scenes: str = ""
    """Folder of the scenes that `watershed demo pixmo` composed; empty for none."""
    dense: int = 500
    """Optimiser steps of the first stage: the transformer learns which label is at which place of a picture."""
    captions: int = 400
    """Optimiser steps of the second stage: captions with pointing."""
    mixture: int = 1200
    """Optimiser steps of the third stage: all data sets, with losses weighted by annotations."""
    blind: int = 200
    """Optimiser steps of the baseline that never sees a picture."""
    batch: int = 16
    """Samples a step."""
    asked: int = 200
    """Scenes of each split that the models are asked about, at most."""
    seed: int = 0
    """Seed of weights and order."""


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """`[models.NAME]`: a language model behind an OpenAI-compatible HTTP server."""

    url: str = ""
    """Base URL of the server, as in "https://api.openai.com/v1"; empty if `serve` is set."""
    serve: str = ""
    """Checkpoint, Hugging Face folder or GGUF file that Watershed serves itself, for as long as it asks."""
    model: str = ""
    """Name of the model, as the server knows it; by default the name of the entry."""
    revision: str = ""
    """Revision of the model. Replies of another revision are not reused."""
    key: str = ""
    """Name of the environment variable that holds the key; empty for a server without keys."""
    concurrency: int = 8
    """Requests in flight at a time."""
    requests_per_minute: int = 0
    """Most requests sent in a minute; 0 is no limit."""
    tokens_per_minute: int = 0
    """Most tokens of prompts and replies in a minute, counting the longest reply allowed; 0 is no limit."""
    attempts: int = 5
    """Attempts of a request before it is given up."""
    timeout: float = 120.0
    """Seconds in which the whole reply must have arrived."""
    input_price: float = 0.0
    """US dollars for a million tokens of a prompt."""
    output_price: float = 0.0
    """US dollars for a million tokens of a reply."""
    batch_share: float = 0.5
    """Price of a request in the provider's batch mode, as a share of the price of one that is sent alone."""
    cap: float = 0.0
    """Most US dollars that the lake may ever spend on the model; 0 is no limit."""
    idempotent: bool = False
    """Whether the server answers a repeated Idempotency-Key with the first reply, without a second charge."""
    ask_lost: bool = False
    """Whether a request whose reply was lost is sent again although it may be charged twice. A model without prices is
    always asked again."""
    json_schema: bool = False
    """Whether the server holds replies to a JSON schema."""
    reply_bytes: int = 4_000_000
    """Most bytes of a reply that are read."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of `watershed.toml`; relative paths are relative to `project`, the file's folder."""

    project: Path
    lake: LakeSettings
    crawl: CrawlSettings
    sql: SqlSettings
    licences: LicencesSettings
    energy: EnergySettings
    spark: SparkSettings
    trainer: TrainerSettings
    dagster: DagsterSettings
    automation: AutomationSettings
    ladder: LadderSettings
    registry: RegistrySettings
    dialogues: DialoguesSettings
    tulu: TuluSettings
    scholar: ScholarSettings
    router: RouterSettings
    mathfish: MathfishSettings
    pixmo: PixmoSettings
    captioner: CaptionerSettings
    models: dict[str, EndpointSettings] = field(default_factory=dict)
    """`[models]`: language models by the name that commands and assets use."""

    @property
    def lake_root(self) -> str:
        """The lake as an absolute path or a URL."""
        root = self._absolute(self.lake.root)
        return root.rstrip("/") if "://" in root else root

    @property
    def files_root(self) -> Path:
        """Folder of the files that tables name relative to the lake."""
        if self.lake.files:
            return Path(self._absolute(self.lake.files))
        return self.project / "files" if "://" in self.lake_root else Path(self.lake_root) / "_files"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME as an absolute path."""
        return Path(self._absolute(self.dagster.home))

    @property
    def crawl_inputs(self) -> tuple[str, ...]:
        """The archives' places as absolute paths, globs or URLs."""
        return tuple(self._absolute(place) for place in self.crawl.inputs)

    @property
    def recipes_folder(self) -> Path:
        """Folder of the project's own recipes, which are used in place of those of the same names in the package."""
        return self.project / "recipes"

    @property
    def registry_folder(self) -> Path | None:
        """The registry as an absolute path; None if it is not set."""
        return Path(self._absolute(self.registry.folder)) if self.registry.folder else None

    def _absolute(self, place: str) -> str:
        return place if "://" in place else str((self.project / Path(place).expanduser()).absolute())


def load_settings(start: Path | None = None) -> Settings:
    """Load the settings of a project, environment variables included.

    Args:
        start: a folder of the project; by default that in `WATERSHED_PROJECT`, or the working directory.

    The contracts in the folder `contracts` of the project are registered: its own tables stand beside the package's.

    Raises:
        WatershedError: the file is not TOML, or an entry is unknown or of the wrong type; or a contract is not valid.

    Example:
        >>> from catalog import load_settings
        >>> load_settings().spark.master
        'local[*]'
    """
    project = _project(start or Path(os.environ.get("WATERSHED_PROJECT") or Path.cwd()))
    path = project / FILE
    sections = _read(path)
    for section, entries in _read(project / LOCAL_FILE).items():
        sections[section] = {**sections.get(section, {}), **entries}
    hints = {key: kind for key, kind in typing.get_type_hints(Settings).items() if key not in ("project", "models")}
    models = _models(sections.pop("models", {}), path)
    for section in sections:
        if section not in hints:
            raise WatershedError(f"{path}: unknown section [{section}]", f"use one of {', '.join(hints)}, models")
    settings = Settings(
        project=project,
        **{name: _section(kind, name, sections.get(name, {}), path) for name, kind in hints.items()},
        models=models,
    )
    if "://" in settings.lake_root and not settings.lake_root.startswith("s3://"):
        raise WatershedError(
            f"[lake] root {settings.lake_root}: a lake is a folder, or a prefix in an object store with the S3 API",
            "name a folder, or s3://BUCKET/PREFIX with AWS_ENDPOINT_URL in [lake] storage_options",
        )
    if unreadable := sorted(set(settings.lake_root) & set("[]%*?")):
        raise WatershedError(
            f"[lake] root {settings.lake_root} holds {' '.join(unreadable)}, which Delta's readers take for a pattern",
            "choose a folder without these characters",
        )
    _register(project)
    return settings


def _register(project: Path) -> None:
    """Register the contracts of the project's own tables and mixtures, if it has any or another project had."""
    folders = (project / "contracts", project / "mixtures")
    if "catalog.projects.registry" in sys.modules or any(folder.is_dir() for folder in folders):
        from catalog.projects.registry import register

        register(project)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return tomllib.loads(path.read_text()) if path.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise WatershedError(f"{path}: {error}", "correct the file; docs/configuration.md lists its entries") from error


def _project(start: Path) -> Path:
    start = start.absolute()
    return next((folder for folder in (start, *start.parents) if (folder / FILE).exists()), start)


_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _models(entries: Any, path: Path) -> dict[str, EndpointSettings]:
    found = {}
    if not isinstance(entries, dict):
        raise WatershedError(f"{path}: [models] is not a section", "write a section [models.NAME] for each model")
    for name, values in entries.items():
        if not _ENDPOINT.fullmatch(name):
            raise WatershedError(
                f"{path}: [models.{name}] is not a name of a model", "use letters, digits, dots, dashes and underscores"
            )
        if not isinstance(values, dict):
            raise WatershedError(f"{path}: [models] has {name!r} without entries", f"write a section [models.{name}]")
        found[name] = _section(EndpointSettings, f"models.{name}", values, path)
    return found


def _section(kind: Any, name: str, entries: dict[str, Any], path: Path) -> Any:
    hints = typing.get_type_hints(kind)
    for key in entries:
        if key not in hints:
            raise WatershedError(f"{path}: unknown entry {key!r} in [{name}]", f"use one of {', '.join(hints)}")
    values = dict(entries)
    for entry in fields(kind):
        variable = re.sub(r"[.-]", "_", f"WATERSHED_{name}_{entry.name}".upper())
        if variable in os.environ:
            values[entry.name] = _parse(os.environ[variable], hints[entry.name], variable)
    for key, value in values.items():
        expected = typing.get_origin(hints[key]) or hints[key]
        # An address of a webhook is a secret.
        shown = "a value" if key == "alerts" else repr(value)
        whole = expected is float and isinstance(value, int) and not isinstance(value, bool)
        if (not whole and not isinstance(value, expected)) or (expected is int and isinstance(value, bool)):
            raise WatershedError(
                f"{path}: [{name}] {key} is {shown}, which is not of type {_type_name(hints[key])}",
                "see docs/configuration.md",
            )
    return kind(**values)


def _parse(text: str, hint: Any, variable: str) -> Any:
    if hint is str:
        return text
    if hint == list[str] and not text.startswith("["):
        return [part for part in text.split(os.pathsep) if part] if "://" not in text else [text]
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise WatershedError(f"{variable}={text!r} is not of type {_type_name(hint)}", "write it as JSON") from error


def _type_name(hint: Any) -> str:
    return str(hint) if isinstance(hint, types.GenericAlias) else hint.__name__
