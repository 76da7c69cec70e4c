"""The problems of `watershed demo posttrain`, and the numbers that it prints of them."""

from __future__ import annotations

import pytest
from rich.console import Console

from catalog.settings import load_settings
from catalog.tables import CONTRACTS
from dagster_project.cli.screen.posttraining import curve, print_posttraining, print_queries
from dagster_project.families.demo.posttrain import CONTROL, Seed, Stage, wilson
from dagster_project.families.demo.problems import FORMS, Problem, make_problems
from tests.small_lake import row, write_rows
from trainers.posttraining.prompts import judge_of

AMOUNTS = {"texts": 20, "chats": 600, "pairs": 50, "prompts": 200, "heldout": 150}


def asked(row: dict, field: str = "messages") -> str:
    return row[field][0]["content"]


def test_held_out_problems_are_asked_nowhere_else():
    made = make_problems(seed=3, careless=0.5, **AMOUNTS)
    heldout = {asked(row) for row in made.heldout}
    assert len(heldout) == 150
    assert not heldout & {asked(row) for row in [*made.chats, *made.prompts]}
    assert not heldout & {asked(row, "chosen") for row in made.pairs}
    assert make_problems(seed=3, careless=0.5, **AMOUNTS) == made
    assert make_problems(seed=4, careless=0.5, **AMOUNTS) != made


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_reply_passes_in_the_form_that_was_asked_for_and_with_the_right_sum(form):
    made = make_problems(seed=0, careless=0.0, **AMOUNTS)
    row = next(row for row in made.prompts if row["source"] == f"demo/{form.name}")
    judge = judge_of(row)
    problem = Problem((int(row["answer"]) - 1, 1), "", form)
    assert judge(problem.reply(form)).passed
    assert not judge(problem.reply(form, wrong=1)).passed
    for other in FORMS:
        assert judge(problem.reply(other)).passed == (form.name == "plain" or other is form), other.name


def test_people_write_the_plain_form_as_often_as_they_are_careless():
    made = make_problems(seed=0, careless=0.65, **AMOUNTS)
    asked_for = [row for row in made.chats if row["source"] != "demo/plain"]
    plain = [row for row in asked_for if row["messages"][1]["content"].startswith("The sum is")]
    plain = [
        row
        for row in plain
        if row["messages"][1]["content"].endswith(".") and "luck" not in row["messages"][1]["content"]
    ]
    assert len(plain) / len(asked_for) == pytest.approx(0.65, abs=0.05)


def test_the_end_of_the_demo_says_what_each_stage_verified(tmp_path):
    def stage(name: str, scores: list[float], reply: str) -> Stage:
        answers = [
            {"id": f"p{i}", "source": f"s{i % 2}", "prompt": f"<|user|>\nq{i}\n", "text": reply, "score": s}
            for i, s in enumerate(scores)
        ]
        return Stage(name, tmp_path, sum(scores) / len(scores), answers, [(1, 0.25), (2, 0.75)] if "r" in name else [])

    stages = [
        stage("sft", [0, 0, 1, 0], "before"),
        stage("rlvr", [1, 1, 1, 0], "[bold]after"),
        stage(CONTROL, [0, 0, 1, 0], "same"),
    ]
    console = Console(width=160, record=True, force_terminal=False)
    print_posttraining(console, [Seed(0, tmp_path, {each.name: each for each in stages})])
    shown = console.export_text()
    assert "25.0%" in shown and "75.0%" in shown
    assert (
        # Differences 1, 1, 0, 0: mean .5, variance 1/3, t of 3 degrees 3.182, half width 3.182 sqrt(1 / 12).
        "rlvr over sft, paired over 4 problems: +50.0%, 95% interval -41.9% to +141.9%: not distinguishable" in shown
        and f"{CONTROL} over sft, paired over 4 problems: +0.0%" in shown
    )
    assert "✗ before" in shown and "✓ [bold]after" in shown and "▃▇ 0.25 to 0.75" in shown


def test_the_queries_of_the_demo_are_answered_from_its_tables(tmp_path):
    (tmp_path / "watershed.toml").write_text("")
    settings = load_settings(tmp_path)
    losses = [{"run": "demo-sft-0", "row_id": f"r{n}", "example": n, "loss": n, "margin": None} for n in (1, 3)]
    rewards = [
        {"run": "demo-rlvr-0", "rollout_id": f"{n}-1", "phase": n, "score": n / 2, "finish": "stop", "digest": "0" * 64}
        for n in range(3)
    ]
    replies = [
        {"run": f"demo-{stage}-0", "score": score, "finish": "stop"} for stage, score in (("sft", 0), ("rlvr", 1))
    ]
    made = {"tulu.sample_losses": losses, "tulu.rollouts": rewards, "tulu.heldout": replies}
    write_rows(settings, {name: [row(CONTRACTS[name], **each) for each in rows] for name, rows in made.items()})
    console = Console(width=200, record=True, force_terminal=False)
    print_queries(console, settings)
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["demo-sft-0", "text", "1", "2", "2.0"] in shown
    # The first and the last phase, and both stages side by side.
    assert ["text", "0", "1", "0.0", "0.0"] in shown and ["text", "2", "1", "1.0", "0.0"] in shown
    assert ["source", "rlvr-0", "sft-0"] in shown and ["text", "1.0", "0.0"] in shown


def test_intervals_by_hand():
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert curve([0.0, 0.5, 1.0]) == "▁▅█"
