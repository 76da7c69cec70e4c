import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_shards import make_shards

from trainers.core.checkpoint import checkpoint_folders, latest
from trainers.data.shards import check_manifest
from trainers.pretrain import main, pretrain
from trainers.pretraining.config import RunConfig, resolve
from trainers.process.config_file import from_mapping
from trainers.process.device import PEAKS, known_part, peak_flops
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.process.run_folder import read_result

ROOT = Path(__file__).parents[2]
TIMES = ("tokens_per_s", "logged_seconds", "elapsed_s", "seconds", "step_seconds", "peak_memory_bytes", "metrics")
PRESET = "30k-0.2xC"
MIXTURE = {"kind": "moe", "experts": 8, "experts_per_token": 2, "hidden": 24}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    """A run that was never stopped: its folder and its result."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, pretrain(config(shards, out))


def config(shards, out, **changes) -> RunConfig:
    common = {"shards": str(shards), "out": str(out), "preset": PRESET, "checkpoint_every": 25, "keep_checkpoints": 0}
    return from_mapping(common | changes, RunConfig, "test")


def write_config(path: Path, folder, out, **changes) -> Path:
    common = {"shards": str(folder), "out": str(out), "preset": PRESET, "checkpoint_every": 25, "keep_checkpoints": 0}
    path.write_text(json.dumps(common | changes))
    return path


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)


def timeless(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in TIMES}


def test_a_run_learns_and_says_what_it_did(finished):
    out, result = finished
    assert result == read_result(out)
    assert result["tokens"] == result["steps"] * 9 * 16
    assert result["flops"] == result["tokens"] * result["flops_per_token"]
    # A quarter of the steps of the made language are free, so the loss can reach 1.8 nats; ignorance is ln 64 = 4.2.
    assert result["heldout_nats_per_token"] < 3.2
    assert result["heldout_bits_per_byte"] == pytest.approx(result["heldout_nats_per_token"] / math.log(2) / 3)
    newest = latest(out)
    assert newest is not None
    assert (str(newest.folder), newest.model_sha256) == (result["checkpoint"], result["checkpoint_sha256"])


def test_metrics_have_a_row_a_step_or_so_up_to_the_last(finished):
    out, result = finished
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    assert rows[-1]["step"] == result["steps"]
    assert rows[-1]["heldout_bits_per_byte"] == result["heldout_bits_per_byte"]
    assert rows[-1]["loss"] < 3.5 < rows[0]["loss"] < 6
    assert set(rows[0]) == {"step", "tokens", "loss", "lr", "grad_norm", "tokens_per_s", "elapsed_s"}


def test_a_run_killed_outright_ends_in_the_same_bits(finished, shards, tmp_path):
    whole, result = finished
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "trainers.pretrain", "--config"]
    command.append(str(write_config(tmp_path / "run.json", shards, out)))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = (line for line in process.stdout if '"event":"checkpoint"' in line)
        next(made)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "result.json").exists()
    stopped_at = latest(out)
    assert stopped_at is not None and 0 < stopped_at.step < result["steps"]

    resumed = pretrain(config(shards, out))
    assert timeless(resumed) | {"checkpoint": ""} == timeless(result) | {"checkpoint": ""}
    for name in ("model.pt", "optimizer.pt"):
        assert (Path(resumed["checkpoint"]) / name).read_bytes() == (Path(result["checkpoint"]) / name).read_bytes()
    rows = [[timeless(row) for row in read_jsonl(folder / "metrics.jsonl")] for folder in (whole, out)]
    assert rows[0] == rows[1]


def test_training_does_not_load_torchs_compiler(finished, shards, tmp_path):
    """It takes as long as a small model of a ladder trains."""
    path = write_config(tmp_path / "run.json", shards, tmp_path / "run", steps=2)
    code = f"import sys; from trainers.pretrain import main; main(['--config', {str(path)!r}]);"
    code += "assert 'torch._dynamo' not in sys.modules and 'torch.distributed.fsdp' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def test_a_run_whose_parent_died_ends_too(shards, tmp_path):
    path = write_config(tmp_path / "run.json", shards, tmp_path / "run", checkpoint_every=5)
    command = [sys.executable, "-m", "trainers.pretrain", "--config", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 3
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(finished, shards, tmp_path, damage):
    result = finished[1]
    out = tmp_path / "run"
    pretrain(config(shards, out))
    (out / "result.json").unlink()
    newest, before = checkpoint_folders(out)[-1], checkpoint_folders(out)[-2]
    model = newest / "model.pt"
    if damage == "flipped":
        changed = bytearray(model.read_bytes())
        changed[-3000] ^= 1
        model.write_bytes(changed)
    elif damage == "cut":
        model.write_bytes(model.read_bytes()[:-1])
    else:
        (newest / "state.json").unlink()
    found = latest(out)
    assert found is not None and found.folder == before
    assert pretrain(config(shards, out))["checkpoint_sha256"] == result["checkpoint_sha256"]


def test_a_finished_run_returns_at_once(finished, shards):
    out, result = finished
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    assert pretrain(config(shards, out)) == result
    assert written == {path: path.stat().st_mtime_ns for path in written}


def test_paths_threads_and_how_often_things_are_written_are_not_identity(finished, shards, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(shards)
    changed = config(moved, tmp_path / "run", threads=2, log_every=50, checkpoint_every=0, run="another name")
    train, heldout = (check_manifest(moved / split) for split in ("train", "heldout"))
    assert resolve(changed, train, heldout).fingerprint == finished[1]["fingerprint"]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"optimiser": {"learning_rate": 0.5}}, "optimiser.learning_rate is .* there and 0.5 here"),
        ({"preset": "30k-0.4xC"}, "steps is"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(finished, shards, change, difference):
    with pytest.raises(TrainerError, match=difference) as refused:
        pretrain(config(shards, finished[0], **change))
    assert "another `out` folder" in refused.value.mend


def test_another_seed_is_another_model(finished, shards, tmp_path):
    other = pretrain(config(shards, tmp_path / "run", seed=1))
    assert other["checkpoint_sha256"] != finished[1]["checkpoint_sha256"]
    assert other["heldout_nats_per_token"] == pytest.approx(finished[1]["heldout_nats_per_token"], abs=0.3)


@pytest.mark.parametrize("model", [{}, MIXTURE | {"load_balancing_weight": 1.0}], ids=["dense", "mixture"])
def test_gradients_of_microbatches_add_up_to_the_batch(shards, tmp_path, model):
    sizes = {"whole": {}, "fours": {"microbatch": 4}, "ones": {"microbatch": 1}, "parts": {"parts": 2, "microbatch": 3}}
    runs = {
        name: pretrain(config(shards, tmp_path / name, steps=5, log_every=1, model=model, **size))
        for name, size in sizes.items()
    }
    rows = {name: read_jsonl(tmp_path / name / "metrics.jsonl") for name in runs}
    ends = {name: weights(Path(result["checkpoint"])) for name, result in runs.items()}
    for name in runs:
        assert all(torch.allclose(ends["whole"][key], ends[name][key], atol=1e-4) for key in ends[name]), name
        for before, after in zip(rows["whole"], rows[name], strict=True):
            assert after["loss"] == pytest.approx(before["loss"], abs=1e-4)
            assert after["grad_norm"] == pytest.approx(before["grad_norm"], rel=1e-3)
            if model:
                assert after["load_balancing_loss"] == pytest.approx(before["load_balancing_loss"], rel=1e-4)
    assert len({result["fingerprint"] for result in runs.values()}) == 1


def test_a_balance_of_some_sequences_is_part_of_the_recipe_and_the_same_in_every_microbatch(shards, tmp_path):
    groups = {"model": MIXTURE | {"load_balancing_weight": 1.0, "load_balancing_sequences": 3}, "steps": 5}
    whole = pretrain(config(shards, tmp_path / "whole", **groups))
    threes = pretrain(config(shards, tmp_path / "threes", microbatch=3, **groups))
    batch = pretrain(config(shards, tmp_path / "batch", model=MIXTURE | {"load_balancing_weight": 1.0}, steps=5))
    ends = [weights(Path(result["checkpoint"])) for result in (whole, threes, batch)]
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-4) for name in ends[0])
    assert not all(torch.allclose(ends[0][name], ends[2][name], atol=1e-3) for name in ends[0])
    assert whole["fingerprint"] == threes["fingerprint"] != batch["fingerprint"]
    with pytest.raises(TrainerError, match="the microbatch ends at 4 sequences, and load_balancing_sequences is 3"):
        pretrain(config(shards, tmp_path / "fours", microbatch=4, **groups))
    unbalanced = pretrain(config(shards, tmp_path / "none", model=MIXTURE | {"load_balancing_weight": 0.0}, steps=1))
    assert "load_balancing_sequences" not in json.loads((tmp_path / "none" / "config.json").read_text())["identity"]
    assert unbalanced["steps"] == 1


def test_bfloat16_trains_nearly_as_well(finished, shards, tmp_path):
    result = pretrain(config(shards, tmp_path / "run", dtype="bfloat16"))
    assert result["heldout_nats_per_token"] == pytest.approx(finished[1]["heldout_nats_per_token"], abs=0.3)
    assert weights(Path(result["checkpoint"]))["embedding.weight"].dtype == torch.float32


def test_a_loss_of_nan_stops_the_run_and_keeps_the_last_checkpoint(shards, tmp_path):
    out = tmp_path / "run"
    wild = {"learning_rate": 1e18, "warmup_steps": 60, "clip": 1e30, "weight_decay": 0.0}
    changes = {"optimiser": wild, "steps": 100, "checkpoint_every": 1, "spike": 0}
    with pytest.raises(TrainerError, match=r"the loss is (nan|inf).*last good checkpoint") as stopped:
        pretrain(config(shards, out, **changes))
    assert "learning_rate" in stopped.value.mend and "spike" not in stopped.value.mend
    kept = latest(out)
    assert kept is not None
    assert all(torch.isfinite(weight).all() for weight in weights(kept.folder).values())
    assert not (out / "result.json").exists()


def test_old_checkpoints_are_removed(shards, tmp_path):
    pretrain(config(shards, tmp_path / "run", steps=20, checkpoint_every=4, keep_checkpoints=2))
    assert [path.name for path in checkpoint_folders(tmp_path / "run")] == ["step_00000016", "step_00000020"]


def test_heldout_loss_is_measured_along_the_way(shards, tmp_path):
    pretrain(config(shards, tmp_path / "run", steps=60, evaluate_every=20))
    rows = [row for row in read_jsonl(tmp_path / "run" / "metrics.jsonl") if "heldout_bits_per_byte" in row]
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert rows[2]["heldout_bits_per_byte"] < rows[0]["heldout_bits_per_byte"]


def test_progress_lines_can_be_read_by_a_parent(shards, tmp_path, capsys):
    assert main(["--config", str(write_config(tmp_path / "run.json", shards, tmp_path / "run", steps=30))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("progress ") for line in lines)
    reports = [json.loads(line.removeprefix("progress ")) for line in lines]
    steps = [report for report in reports if "event" not in report]
    assert steps[-1] | {"eta_s": 0.0} == steps[-1]
    assert (steps[-1]["step"], steps[-1]["steps"], steps[-1]["run"]) == (30, 30, PRESET)
    assert {report.get("event") for report in reports} == {None, "started", "checkpoint", "heldout", "finished"}


def test_a_yaml_config_is_read_too(shards, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(f"preset: {PRESET}\nshards: {shards}\nout: {tmp_path / 'run'}\nsteps: 3\noptimiser:\n  clip: 0.5\n")
    assert main(["--config", str(path)]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["identity"]["optimiser"]["clip"] == 0.5


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"preset": "31k-1xC"}, "no model size is called '31k'"),
        ({"learning_rate": 1}, "unknown field 'learning_rate'"),
        ({"steps": "many"}, "steps is 'many'"),
        ({"steps": -1}, "steps is -1"),
        ({"shards": None}, "shards is None"),
        ({"optimiser": {"nesterov": 1}}, "optimiser has no field 'nesterov'"),
        ({"optimiser": {"schedule": "step"}}, "schedule is 'step'"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"model": {"kind": "sparse"}}, "model kind is 'sparse'"),
        ({"model": {"experts": 4}}, "model has no field 'experts'"),
        ({"device": "abacus"}, "no device is called 'abacus'"),
    ],
)
def test_a_bad_config_is_two_lines_and_exit_code_two(shards, tmp_path, capsys, change, cause):
    path = write_config(tmp_path / "run.json", shards, tmp_path / "run", **change)
    assert main(["--config", str(path)]) == 2
    error, mend = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and cause in error
    assert mend.startswith("mend: ") and len(mend) > 10


def test_a_broken_shard_is_named_before_the_first_step(tmp_path, capsys):
    shards = make_shards(tmp_path / "shards")
    (shards / "train" / "shard_00000001.tar").unlink()
    path = write_config(tmp_path / "run.json", shards, tmp_path / "run")
    assert main(["--config", str(path)]) == 2
    assert "shard_00000001.tar is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_missing_config_file_is_named(tmp_path, capsys):
    assert main(["--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml does not exist" in capsys.readouterr().err


def test_a_dagster_asset_gets_the_progress_through_pipes(shards, tmp_path):
    import dagster

    path = write_config(tmp_path / "run.json", shards, tmp_path / "run", steps=20)

    @dagster.asset
    def run(context: dagster.AssetExecutionContext, pipes: dagster.PipesSubprocessClient):
        command = [sys.executable, "-m", "trainers.pretrain", "--config", str(path)]
        invocation = pipes.run(command=command, context=context, cwd=str(ROOT))
        reports.extend(invocation.get_custom_messages())
        return invocation.get_materialize_result()

    reports: list[dict] = []
    assert dagster.materialize([run], resources={"pipes": dagster.PipesSubprocessClient()}).success
    assert [r["step"] for r in reports if "event" not in r][-1] == 20
    assert any(r.get("event") == "finished" and r["steps"] == 20 for r in reports)


def test_a_second_process_waits_for_the_first(shards, tmp_path, capsys):
    import fcntl
    import threading

    out = tmp_path / "run"
    out.mkdir()
    results: list[dict] = []
    worker = threading.Thread(target=lambda: results.append(pretrain(config(shards, out, steps=3))))
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker.start()
        seen = ""
        while "waiting" not in seen:
            seen += capsys.readouterr().out
        assert not (out / "config.json").exists()
    worker.join()
    assert results[0]["steps"] == 3


def test_a_loss_that_leaps_stops_the_run_before_the_weights_follow(shards, tmp_path):
    out = tmp_path / "run"
    # The learning rate warms up over the whole run to a value at which every model diverges.
    wild = {"learning_rate": 30.0, "warmup_steps": 150, "clip": 1e30, "weight_decay": 0.0}
    with pytest.raises(TrainerError, match=r"the loss is \d.*, after \d.* usually.*last good checkpoint is") as stopped:
        pretrain(config(shards, out, optimiser=wild, steps=150, checkpoint_every=1, log_every=1))
    newest = latest(out)
    assert newest is not None and str(newest.folder) in stopped.value.cause
    assert "raise `spike`" in stopped.value.mend
    assert all(tensor.isfinite().all() for tensor in newest.weights().values())
    losses = [row["loss"] for row in read_jsonl(out / "metrics.jsonl")]
    assert len(losses) == newest.step
    assert all(loss < max(losses[:step]) + 2.0 for step, loss in enumerate(losses) if step)


def test_a_mixture_is_trained_by_the_config_and_its_balance_is_recorded(finished, shards, tmp_path):
    result = pretrain(config(shards, tmp_path / "run", model=MIXTURE, log_every=1))
    assert result["heldout_nats_per_token"] == pytest.approx(finished[1]["heldout_nats_per_token"], abs=0.2)
    assert result["total_parameters"] > 2 * result["active_parameters"]
    assert result["flops"] == result["tokens"] * result["flops_per_token"]
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    for row in rows:
        assert row["dropped"] == 0
        assert [len(loads) for loads in row["expert_load"]] == [8, 8]
        for loads, entropy in zip(row["expert_load"], row["expert_entropy"], strict=True):
            assert sum(loads) == pytest.approx(2, abs=1e-3)
            expected = -sum(x / 2 * math.log(x / 2) for x in loads if x) / math.log(8)
            assert entropy == pytest.approx(expected, abs=1e-3)
        assert row["load_balancing_loss"] > 0.9
    assert rows[-1]["load_balancing_loss"] < 1.2 and min(rows[-1]["expert_entropy"]) > 0.9


def test_a_mixture_resumes_in_the_same_bits(shards, tmp_path):
    changes = {"preset": "70k-moe-0.01xC", "steps": 20, "checkpoint_every": 10}
    whole = pretrain(config(shards, tmp_path / "run", **changes))
    shutil.rmtree(whole["checkpoint"])
    (tmp_path / "run" / "result.json").unlink()
    assert pretrain(config(shards, tmp_path / "run", **changes))["checkpoint_sha256"] == whole["checkpoint_sha256"]


def test_documents_are_masked_when_asked(finished, shards, tmp_path):
    masked = pretrain(config(shards, tmp_path / "run", steps=20, document_masking=True))
    plain = pretrain(config(shards, tmp_path / "plain", steps=20))
    newest = latest(tmp_path / "run")
    assert newest is not None and newest.model_config.separator == 0
    assert masked["checkpoint_sha256"] != plain["checkpoint_sha256"]
    assert masked["heldout_nats_per_token"] == pytest.approx(plain["heldout_nats_per_token"], abs=0.2)


def test_warm_up_stable_decay_holds_the_peak_then_falls_to_the_floor(shards, tmp_path):
    changes = {"optimiser": {"schedule": "wsd", "final_fraction": 0.1}, "steps": 50, "log_every": 1}
    pretrain(config(shards, tmp_path / "run", **changes))
    rates = [row["lr"] for row in read_jsonl(tmp_path / "run" / "metrics.jsonl")]
    peak = max(rates)
    assert rates.index(peak) == 7
    assert rates[7:40] == [peak] * 33
    assert rates[40] < peak and rates[-1] == pytest.approx(0.1 * peak)


def test_the_shards_tokenizer_is_kept_beside_the_checkpoints(tmp_path):
    shards = make_shards(tmp_path / "shards")
    (shards / "tokenizer.json").write_text("{}")
    pretrain(config(shards, tmp_path / "run", steps=2))
    assert (tmp_path / "run" / "tokenizer.json").read_text() == "{}"


def test_the_peak_is_that_of_the_device():
    assert peak_flops(torch.device("cpu"), "float32") is None
    names = {"NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H200": 989e12, "NVIDIA A100-SXM4-80GB": 312e12}
    names |= {"NVIDIA L4": 121e12, "NVIDIA L40": 181e12, "NVIDIA L40S": 362e12}
    assert {name: PEAKS[known_part(name) or ""]["bfloat16"] for name in names} == names
    assert [known_part(name) for name in ("NVIDIA A10G", "NVIDIA GB200", "NVIDIA RTX A1000")] == [None] * 3
    # A shorter name that is part of a longer one must not be found first.
    for number, part in enumerate(PEAKS):
        assert not any(earlier in part for earlier in list(PEAKS)[:number])
