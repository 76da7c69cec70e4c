"""The command `watershed score SCORER FILE`: scores of recorded replies, a JSON line a row, then a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dagster_project.cli.screen.errors import exit_with_error, user_errors
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from dagster_project.cli.scoring.scorer import Scorer

BAD_ROWS_SHOWN = 10
RANKING = "ndcg"
RANKING_ABOUT = "nDCG, recall, reciprocal rank and average precision of a run, as trec_eval computes them."


@click.command("score")
@click.argument("scorer", required=False, metavar="SCORER")
@click.argument("file", required=False, metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--list", "show", is_flag=True, help="Lists the scorers, or describes SCORER, with its rows and an example."
)
@click.option("--rule", help="The rule of the scorer, such as strict or published. --list names the rules of each.")
@click.option("--skip-bad", is_flag=True, help="Counts malformed rows and continues, instead of stopping at the first.")
@click.option(
    "--seconds", type=click.FloatRange(0, 3600, min_open=True), help="The time limit of a row, for math and code."
)
@click.option("-k", "ks", metavar="K,...", help="The cut-off of ndcg, or the numbers of samples k of pass@k for code.")
@click.option("--qrels", type=click.Path(path_type=Path), help="The relevance judgements of ndcg, in TREC's form.")
@click.option("--run", type=click.Path(path_type=Path), help="The run of ndcg, in TREC's form.")
@click.option("--json", "as_json", is_flag=True, help="Ends with the plain object of the averages, for ndcg.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Writes rows and summary to this file.")
@user_errors()
def score_command(
    scorer: str | None,
    file: Path | None,
    *,
    show: bool,
    qrels: Path | None,
    run: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score recorded replies: one JSON line per row with its score, then a line with the summary.

    FILE holds one JSON object per line; - reads standard input. A malformed row ends the command with exit code 2 and
    names the file and the line. docs/scoring.md has the rules of each scorer.

    \b
    Examples:
      watershed score --list
      watershed score gsm8k --list
      watershed score gsm8k replies.jsonl
      watershed score math replies.jsonl --rule published
      watershed score ifeval replies.jsonl --rule loose --skip-bad
      watershed score code samples.jsonl -k 1,10 --seconds 3
      watershed score ndcg --qrels qrels.txt --run run.txt -k 10 --json
    """
    from dagster_project.cli.scoring.scorers import scorers

    if scorer == RANKING and not show:
        _score_ranking(qrels, run, _numbers(options["ks"]) or (10,), as_json)
        return
    known = scorers()
    if scorer is None:
        if not show:
            exit_with_error("no scorer is given", "`watershed score --list` lists the scorers")
        for each in known.values():
            say(f"{each.name:<22} {each.about}")
        say(f"{RANKING:<22} {RANKING_ABOUT}")
        return
    if scorer == RANKING:
        say(f"{RANKING_ABOUT}\n--qrels: query 0 document grade\n--run: query Q0 document rank score tag")
        return
    if scorer not in known:
        from trainers.names import close

        exit_with_error(
            f"the scorer {scorer!r} is unknown{close(scorer, [*known, RANKING])}", "`watershed score --list` lists them"
        )
    if show:
        _describe(known[scorer])
        return
    if file is None:
        exit_with_error("no file is given", f"`watershed score {scorer} FILE.jsonl` reads one JSON object per line")
    _score(known[scorer], file, **options)


def _describe(scorer: Scorer) -> None:
    import json

    say(scorer.about)
    say(f"rules: {', '.join(scorer.rules)} (the first is the default)")
    say(f"row: id, {', '.join(scorer.fields)}")
    for name, about in scorer.optional.items():
        say(f"  {name}: {about} (optional)")
    say(f"example: {json.dumps(scorer.example, ensure_ascii=False)}")
    if scorer.name == "ifeval":
        from trainers.verifiers.instructions.register import all_kinds

        for kind in all_kinds().values():
            say(f"  {kind.id} ({', '.join(kind.arguments)}): {kind.about}")


def _score(
    scorer: Scorer,
    file: Path,
    *,
    rule: str | None,
    skip_bad: bool,
    seconds: float | None,
    ks: str | None,
    out: Path | None,
) -> None:
    import sys
    from contextlib import nullcontext

    from catalog.files import whole_file
    from dagster_project.cli.scoring.run import Scoring
    from dagster_project.cli.scoring.scorer import Options

    rule = rule or scorer.rules[0]
    if rule not in scorer.rules:
        exit_with_error(f"{scorer.name} has no rule {rule!r}", f"its rules are: {', '.join(scorer.rules)}")
    scoring = Scoring(scorer, Options(rule, seconds, _numbers(ks)), file, skip_bad)
    with (
        whole_file(out) if out else nullcontext() as partial,
        partial.open("w", encoding="utf-8") if partial else nullcontext(sys.stdout) as target,
    ):
        for row in scoring.rows():
            target.write(_line(row))
        target.write(_line({"summary": scoring.summary()}))
    for cause in scoring.bad[:BAD_ROWS_SHOWN]:
        say(f"skipped {cause}", err=True)
    if len(scoring.bad) > BAD_ROWS_SHOWN:
        say(f"skipped {len(scoring.bad) - BAD_ROWS_SHOWN:,} more rows", err=True)


def _score_ranking(qrels: Path | None, run: Path | None, ks: tuple[int, ...], as_json: bool) -> None:
    from spark_jobs.retrieval.metrics import score_run
    from spark_jobs.retrieval.trec import read_judgements, read_run

    if qrels is None or run is None:
        exit_with_error("ndcg needs --qrels and --run", "`watershed score ndcg --qrels QRELS --run RUN -k 10`")
    rows, averages = score_run(read_run(run), read_judgements(qrels), ks)
    for row in rows:
        data(_line(row), nl=False)
    data(_line(averages if as_json else {"summary": {"scorer": RANKING, **averages}}), nl=False)


def _line(row: dict[str, Any]) -> str:
    """A row as a line of JSON; half a surrogate, which UTF-8 cannot hold, is escaped."""
    import json

    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(row, allow_nan=False)
    return f"{line}\n"


def _numbers(text: str | None) -> tuple[int, ...]:
    """The numbers of -k."""
    if not text:
        return ()
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(piece.isascii() and piece.isdecimal() and 0 < int(piece) < 10**6 for piece in pieces):
        exit_with_error(f"-k {text!r} is not a list of numbers of at least 1", "write -k 10 or -k 1,10,100")
    return tuple(dict.fromkeys(int(piece) for piece in pieces))
