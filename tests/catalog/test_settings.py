"""Settings: the file, the environment over it, and errors that name the entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.errors import WatershedError
from catalog.progress import listening, track
from catalog.settings import load_settings


def project(folder: Path, text: str = "") -> Path:
    """A project folder with that watershed.toml."""
    (folder / "watershed.toml").write_text(text)
    return folder


def test_by_default_everything_is_in_the_project(tmp_path: Path) -> None:
    settings = load_settings(project(tmp_path))
    assert settings.lake_root == str(tmp_path / "lake")
    assert settings.files_root == tmp_path / "lake" / "_files"
    assert settings.dagster_home == tmp_path / ".dagster"


def test_the_file_is_found_from_a_folder_below(tmp_path: Path) -> None:
    below = project(tmp_path, '[lake]\nroot = "s3://bucket/lake"\n') / "a" / "b"
    below.mkdir(parents=True)
    settings = load_settings(below)
    assert settings.lake_root == "s3://bucket/lake"
    assert settings.files_root == tmp_path / "files"


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_SPARK_MASTER", "local[7]")
    monkeypatch.setenv("WATERSHED_DAGSTER_PORT", "3333")
    monkeypatch.setenv("WATERSHED_LAKE_STORAGE_OPTIONS", '{"AWS_REGION": "eu-west-1"}')
    settings = load_settings(project(tmp_path, '[spark]\nmaster = "local[1]"\n'))
    assert settings.spark.master == "local[7]"
    assert settings.dagster.port == 3333
    assert settings.lake.storage_options == {"AWS_REGION": "eu-west-1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lake]\nrooot = 'x'\n", "unknown entry 'rooot' in [lake]"),
        ("[lakes]\n", "unknown section [lakes]"),
        ("[dagster]\nport = '3000'\n", "[dagster] port is '3000', which is not of type int"),
        ("[dagster]\nport = true\n", "[dagster] port is True"),
        ("[lake\n", "watershed.toml"),
        ("[models.a]\nurll = 'x'\n", "unknown entry 'urll' in [models.a]"),
        ("[models.a]\ncap = 'x'\n", "[models.a] cap is 'x', which is not of type float"),
        ("[models.'a b']\n", "[models.a b] is not a name of a model"),
        ("[models]\na = 3\n", "[models] has 'a' without entries"),
        ("models = 3\n", "[models] is not a section"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WatershedError) as refused:
        load_settings(project(tmp_path, text))
    assert message in refused.value.cause


def test_language_models_are_sections_with_environment_variables_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERSHED_MODELS_LARGE_2_1_CAP", "2.5")
    text = '[models.tiny]\nserve = "a"\n[models."large-2.1"]\nurl = "http://h/v1"\ntimeout = 9\n'
    found = load_settings(project(tmp_path, text)).models
    assert set(found) == {"tiny", "large-2.1"}
    assert (found["tiny"].serve, found["large-2.1"].timeout, found["large-2.1"].cap) == ("a", 9, 2.5)


def test_progress_is_reported_to_the_listener_if_there_is_one() -> None:
    reports: list[tuple] = []

    class Recorder:
        def begin(self, label: str, total: float, unit: str) -> object:
            reports.append(("begin", label, total, unit))
            return label

        def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
            reports.append((handle, done, total, note))

        def end(self, handle: object) -> None:
            reports.append(("end", handle))

    with track("silent", 1) as task:
        task.advance()
    with listening(Recorder()), pytest.raises(ValueError, match="broke"), track("read", 3, "files") as task:
        task.advance(2, "a")
        task.reach(3, total=4)
        raise ValueError("broke")
    assert reports == [("begin", "read", 3, "files"), ("read", 2, None, "a"), ("read", 3, 4, ""), ("end", "read")]
