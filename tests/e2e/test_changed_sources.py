"""A study does not go on with other code or data unasked, and with `--changed ok` it keeps them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpo
from e2e.support import Place, assert_records_agree
from hpo.spec.faults import UserError

pytestmark = pytest.mark.slow
FILE = """
name: small
objective: mine.py
metric: {name: score, goal: maximize}
method: random
budget: {trials: 3}
engine: {workers: 0}
data: {table: rows.csv, written: written.csv}
parameters: {x: {min: 0.0, max: 1.0}}
"""

CODE = """
def objective(trial):
    open(trial.data["written"], "a").write("what a trial writes is no change\\n")
    return trial.params["x"]
"""


def test_changes_are_told_and_refused_or_agreed_to(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "rows.csv").write_text("1\n")
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "s.yaml").write_text(FILE)
    assert place.run("sweep", "s.yaml").returncode == 0
    (tmp_path / "mine.py").write_text("# The same.\n" + CODE)
    assert place.run("sweep", "s.yaml", "--extend", "1").returncode == 0

    (tmp_path / "mine.py").write_text(CODE.replace("return", "return 100 +"))
    (tmp_path / "rows.csv").write_text("2\n")
    refused = place.run("sweep", "s.yaml", "--extend", "2")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "code or data have changed since the last trials of study 'small': mine.py, rows.csv\n" in refused.stderr
    assert "--changed ok" in refused.stderr and "-o name=small-2" in refused.stderr
    assert len(place.trials()) == 4
    with pytest.raises(UserError, match=r"study 'small': mine\.py, rows\.csv"):
        hpo.run(str(tmp_path / "s.yaml"), extend=2, home=place.home.path, progress=False)

    with pytest.raises(UserError, match=r"changed must be 'ok' or None, but got 'yes'"):
        hpo.run(str(tmp_path / "s.yaml"), changed="yes", home=place.home.path, progress=False)  # type: ignore[arg-type]
    confirmed = place.run("confirm", "small", "--against", "0", "--top", "1", "--seeds", "2")
    assert "changed since the last trials of 'small': mine.py, rows.csv; what a confirmation" in (
        confirmed.stdout + confirmed.stderr
    )

    changed = place.run("sweep", "s.yaml", "--extend", "2", "--changed", "ok")
    assert changed.returncode == 0, changed.stderr
    assert "study 'small': mine.py, rows.csv; its trials are told apart by `sources`" in changed.stdout
    sources = [trial.user_attrs["sources"] for trial in place.trials()]
    assert len(sources) == 6 and len(set(sources[:4])) == len(set(sources[4:])) == 1 and sources[0] != sources[4]
    assert place.run("sweep", "s.yaml", "--extend", "1").returncode == 0  # what was agreed to is known
    listed = place.run("trials", "small", "--columns", "sources", "--sort", "number").stdout.split()
    assert listed == ["sources", *sources, sources[-1]]
    assert_records_agree(place)

    (tmp_path / "s.yaml").write_text(FILE.replace("max: 1.0", "max: 2.0").replace("trials: 3", "trials: 9"))
    (tmp_path / "rows.csv").write_text("3\n")
    refused = place.run("sweep", "s.yaml")
    assert refused.returncode == 2 and "study 'small': rows.csv\n" in refused.stderr
    successor = place.run("sweep", "s.yaml", "--changed", "ok")
    assert successor.returncode == 0, successor.stderr
    kept = [trial.user_attrs["sources"] for trial in place.trials("small.2")]
    assert kept[:6] == sources and len(set(kept)) == 3
