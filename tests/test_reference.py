"""docs/reference.md is what the code says, and leaves nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from e2e.support import Place
from handbook import records
from handbook.page import reference_page
from handbook.python_names import name_lines
from handbook.sweep_keys import sweep_keys

from hpo.ledger.study.home import open_storage
from hpo.spec.yaml_text import dump_source

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), "run: scripts/reference > docs/reference.md"


def test_each_key_says_what_it_is() -> None:
    keys = sweep_keys()
    assert [key.path for key in keys if not key.says] == []
    assert {"metric.at", "early_terminate (asha).eta", "parameters.NAME.when", "engine (ray).address"} <= {
        key.path for key in keys
    }


def test_each_option_and_each_name_says_what_it_is() -> None:
    empty = re.compile(r"^\| `.*` \| *\|$")
    assert [line for line in PAGE.read_text(encoding="utf-8").splitlines() if empty.match(line)] == []
    assert any("`hpo.run(" in line for line in name_lines())


@pytest.mark.parametrize(
    "names",
    [
        records.TRIAL_ATTRIBUTES,
        records.TRIAL_INFO,
        records.STUDY_ATTRIBUTES,
        records.RUN_TAGS,
        records.RUN_METRICS,
        records.RUN_FILES,
    ],
)
def test_nothing_is_listed_that_is_never_written(names: Mapping[str, str]) -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "hpo").rglob("*.py"))
    for name in names:
        part = re.sub("(METRIC|MODEL|LIBRARY|NAME).*", "", name.removeprefix("hpo/").removeprefix("hpo.")).split("/")[
            -1
        ]
        word = part.rstrip(".") or name.split("/")[1]
        assert re.search(rf"[\"'/.{{]{word}[\"'/._{{=]|\b{word}=", code), name


def kept(place: Place, folder: str) -> set[str]:
    return {path.name for path in (place.home.path / "artifacts").glob(f"*/artifacts/{folder}") if path.is_file()}


def named(pattern: Iterable[str]) -> re.Pattern[str]:
    """Return what matches any of the names, METRIC and the like standing for whatever there is."""
    words = {"METRIC": r"\w+", "MODEL": r"\w+", "LIBRARY": r"[\w-]+", "NAME": ".+"}
    each = [re.sub("|".join(words), lambda m: words[m.group()], re.escape(name)) for name in pattern]
    return re.compile("|".join(each))


@pytest.mark.slow
def test_what_sweeps_write_is_listed(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    keys: dict[str, Any] = {
        "name": "rich",
        "objective": "objectives.binary",
        "metric": {"name": "val_accuracy", "at": "best"},
        "early_terminate": "asha",
        "budget": {"trials": 8, "epochs": 4},
        "parameters": {"learning_rate": {"values": [1e-3, 1e-2, 0.1, 1e30]}, "dropout": {"min": 0.0, "max": 0.5}},
        "baselines": [{"learning_rate": 0.001, "dropout": 0.1}],
        "confirm": {"top": 1, "seeds": 2},
        "keep": {"models": 1},
        "health": True,
        "report": True,
        "references": ["linear"],
    }
    (tmp_path / "rich.yaml").write_text(dump_source(keys))
    place.sweep(tmp_path / "rich.yaml")
    place.run("sweep", place.write("mixed", budget={"trials": 3}, retry={"error": 1}))
    place.sweep(place.write("mixed", budget={"trials": 1}, parameters={"x": {"min": -5.0, "max": 6.0}}))
    storage, client = open_storage(place.home), place.client()
    for study in storage.get_all_studies():
        assert set(study.user_attrs) <= set(records.STUDY_ATTRIBUTES)
        for trial in optuna.load_study(study_name=study.study_name, storage=storage).trials:
            assert set(trial.user_attrs) <= set(records.TRIAL_ATTRIBUTES)
            assert set(trial.user_attrs["info"]) <= set(records.TRIAL_INFO)
    tags, metrics = named(records.RUN_TAGS), named(records.RUN_METRICS)
    runs = [run for each in client.search_experiments() for run in client.search_runs([each.experiment_id])]
    assert len(runs) > 12
    for run in runs:
        assert [t for t in run.data.tags if not t.startswith("mlflow.") and not tags.fullmatch(t)] == []
        assert [m for m in run.data.metrics if m.startswith("hpo/") and not metrics.fullmatch(m)] == []
    assert {"report.html", "resolved.yaml", "traceback.txt"} <= kept(place, "*") | kept(place, "*/*")
    assert kept(place, "*") <= set(records.RUN_FILES)
