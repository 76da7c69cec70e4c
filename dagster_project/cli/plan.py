"""The command `watershed plan`: computes what training a model, or a datastore of papers, would cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.numbers import number
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from catalog.energy import Energy
    from trainers.ladder.budget import Bill


@click.command("plan")
@click.option(
    "--scale",
    metavar="NAME",
    help="A DCLM scale such as 7B-1x, a released model such as OLMoE-1B-7B, or a size and Chinchilla multiple such as "
    "190M-5xC.",
)
@click.option(
    "--params",
    metavar="N",
    help="The number of parameters, such as 7e9 or 6.9B. It needs --tokens and replaces --scale.",
)
@click.option("--tokens", metavar="D", help="The number of training tokens, such as 140B.")
@click.option(
    "--active",
    metavar="A",
    help="The number of parameters that one token uses, for a mixture of experts. The default is all.",
)
@click.option(
    "--model",
    "fields",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of the model that differs from that of --scale, such as shared_experts=1 or kind=moe; repeatable.",
)
@click.option("--gpu", default="h100", show_default=True, help="The kind of GPU: a100, h100, h200 or b200.")
@click.option(
    "--gpus", type=int, default=8, show_default=True, help="The number of GPUs that train the model together."
)
@click.option("--price", type=float, default=2.5, show_default=True, help="The price of one GPU-hour.")
@click.option(
    "--papers", metavar="N", help="The number of papers of a datastore, such as 45M. It replaces all other options."
)
@click.option("--json", "as_json", is_flag=True, help="Prints one JSON object.")
@user_errors()
def plan_command(  # noqa: PLR0917 (click passes them by name)
    scale: str | None,
    params: str | None,
    tokens: str | None,
    active: str | None,
    fields: tuple[str, ...],
    gpu: str,
    gpus: int,
    price: float,
    papers: str | None,
    as_json: bool,
) -> None:
    """Compute the parameters, tokens, FLOPs, memory, GPU-hours, cost and storage of a training run.

    Nothing is trained. Upper and lower case are not distinguished in names. With --papers, compute the passages, bytes,
    memory, build time and query time of a datastore of papers instead, from what an index was measured to need.

    \b
    Examples:
      watershed plan --scale 7B-1x
      watershed plan --scale OLMoE-1B-7B
      watershed plan --scale OLMoE-1B-7B --model experts=63 --model experts_per_token=7 --model shared_experts=1
      watershed plan --scale 190M-5xC --json
      watershed plan --params 6.9B --active 1.3B --tokens 5T --gpus 256
      watershed plan --papers 45M
    """
    if papers is not None:
        from catalog.settings import load_settings
        from dagster_project.cli.plan_papers import plan_papers

        if scale or params or tokens or active or fields:
            raise WatershedError("--papers plans a datastore, and the other options a model", "leave one of them out")
        plan_papers(load_settings(), round(number(papers, "--papers")), as_json=as_json)
        return
    from trainers.ladder.budget import bill, counted_workload, named_workload, reshaped

    if (scale is None) == (params is None):
        raise WatershedError("one of --scale and --params is needed", "add --scale 7B-1x or --params 7B --tokens 140B")
    if scale is not None:
        if tokens or active:
            raise WatershedError("--scale already sets the tokens and parameters", "leave out --tokens and --active")
        workload = named_workload(scale)
        if fields:
            workload = reshaped(workload, _fields(fields))
    else:
        if fields:
            raise WatershedError(
                "--params gives no shape that --model could change", "use --scale, or leave out --model"
            )
        if tokens is None:
            raise WatershedError("--params is given without --tokens", "add the tokens, such as --tokens 140B")
        workload = counted_workload(
            number(params or "", "--params"),
            number(tokens, "--tokens"),
            number(active, "--active") if active else None,
        )
    found = bill(workload, gpu=gpu, gpus=gpus, price=price)
    energy = _energy(found)
    if as_json:
        estimated = {"kwh": energy.kwh, "kg_co2e": energy.kg_co2e, "energy_assumptions": energy.assumptions}
        data(json.dumps(found.as_dict() | estimated))
    else:
        _print(found, energy)


def _fields(given: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise WatershedError(f"--model {each!r} is not a field and a value", "write it as experts=64")
        try:
            found[name] = yaml.safe_load(value)
        except (yaml.YAMLError, RecursionError):
            raise WatershedError(f"--model {each!r}: the value cannot be read", "write it as experts=64") from None
    return found


def _energy(found: Bill) -> Energy:
    """The energy of the run at the full power of its GPUs."""
    from catalog.energy import energy_of
    from catalog.settings import load_settings
    from trainers.ladder.budget import GPUS

    seconds = found.days * 24 * 3600
    return energy_of(load_settings().energy, seconds, machines=found.gpus, watts=GPUS[found.gpu].watts)


def _print(found: Bill, energy: Energy) -> None:
    from catalog.printable import human_bytes

    memory = f"{human_bytes(found.memory_per_gpu_bytes)} of {human_bytes(found.gpu_memory_bytes)}"
    fits = "fits" if found.fits else f"does not fit: use more than {found.gpus} GPUs"
    for name, value in (
        ("parameters", f"{found.parameters:,}"),
        ("active parameters", f"{found.active_parameters:,}"),
        ("tokens", f"{found.tokens:,}"),
        ("FLOPs", f"{found.flops:.3g}"),
        ("GPU-hours", f"{found.gpu_hours:,.4g} on {found.gpu}, at {found.utilisation:.0%} of its peak"),
        ("time", f"{found.days:,.3g} days on {found.gpus} GPUs"),
        ("cost", f"{found.cost:,.0f} at {found.price_per_gpu_hour:g} per GPU-hour"),
        ("energy", f"{energy.energy_words}, {energy.emission_words}. {energy.assumptions}"),
        ("memory per GPU", f"{memory}, {fits}"),
        ("pool", f"{found.pool_tokens:,} tokens, {human_bytes(found.storage_bytes)} of compressed text"),
    ):
        say(f"{name:<18} {value}")
