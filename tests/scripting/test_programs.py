"""Programs of their own that call `hpo.run`: the examples of the documentation as a script, and what is typed in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.support import Place, assert_records_agree, environment
from postgresql import postgresql
from warm import Warm

import hpo
from hpo.ledger.study.home import Home

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs" / "decision.md"
# Processes that a server has loaded the libraries of (tests/warm.py).
HEAD = """
import os
if "HPO_TESTS_WRITERS" in os.environ:
    import warm
    warm.use_given()
"""


class InMlruns(Place):
    """A folder whose home is where a program's is by default."""

    @property
    def home(self) -> Home:
        return Home(self.folder / "mlruns")


def examples() -> str:
    """Return the code of the documentation's section."""
    section = DOCS.read_text().partition("## In a script or a notebook\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) >= 4
    return "\n".join(blocks)


def run_program(place: Place, *arguments: str, text: str = "", torch: bool = False) -> subprocess.CompletedProcess[str]:
    """torch: its workers are forks of a server that has Torch loaded; else they start as users' do."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    kinds = (Warm.WRITERS, Warm.TORCH_WORKERS) if torch else (Warm.WRITERS,)
    variables = environment() | {kind.variable: kind.serve() for kind in kinds}
    variables |= {"PYTHONPATH": path, "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=place.folder, env=variables, input=text, text=True, capture_output=True,
        timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    """A folder where the documentation's examples have been run as a script, and what that printed."""
    place = InMlruns(tmp_path_factory.mktemp("script"))
    check = '\nassert model.config["as_in_study"] == "equal", model.config["comparison"]\n'
    (place.folder / "train.py").write_text(HEAD + examples() + check)
    done = run_program(place, "train.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return place, done.stdout


def test_the_documentations_examples_run_as_a_script(script: tuple[Place, str]) -> None:
    place, said = script
    assert "objective: 20 complete, 0 pruned, 0 failed" in said and "Sums: 2 complete, 0 pruned, 0 failed" in said
    assert (place.folder / "history.png").stat().st_size > 1000
    assert_records_agree(place, "objective", all_ids=False)
    assert {entry.name for entry in place.folder.iterdir()} <= {"train.py", "mlruns", "history.png", "__pycache__"}


def test_the_documentations_notebook_runs(tmp_path: Path) -> None:
    """Its cells one after another; what a notebook only shows is evaluated."""
    place = InMlruns(tmp_path)
    cells = json.loads((DOCS.parent / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    check = 'assert verdict.verdict == "better" and activations.choices[0].trials.complete >= 20, activations\n'
    (tmp_path / "cells.py").write_text(HEAD + "\n\n".join([*code, check]))
    done = run_program(place, "cells.py", torch=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "activations: 90 complete, 0 pruned, 0 failed" in done.stdout
    assert (place.home.path / "reports" / "activations.html").exists()
    assert_records_agree(place, "activations", all_ids=False)


def test_its_records_name_the_script(script: tuple[Place, str]) -> None:
    place, _ = script
    best = place.run("best", "objective", "--format", "yaml")
    assert f"objective: {place.folder / 'train.py'}:objective" in best.stdout
    (place.folder / "best.yaml").write_text(best.stdout)
    checked = place.run("check", "best.yaml")
    (place.folder / "best.yaml").unlink()
    assert checked.returncode == 2
    assert "hpo.run was called while" in checked.stderr and 'under: if __name__ == "__main__":' in checked.stderr
    assert hpo.load("Sums", place.home.path).sweep["objective"] == f"{place.folder / 'train.py'}:Sums"


def test_what_is_typed_in_runs_as_in_a_notebook(tmp_path: Path) -> None:
    place = InMlruns(tmp_path)
    typed = (
        HEAD
        + """
import hpo
SCALE = 2.0
def typed(trial):
    return SCALE * trial.params["x"]
result = hpo.run(objective=typed, parameters={"x": {"min": 0.0, "max": 1.0}}, metric="loss", trials=3, progress=False)
print(result.best.value == 2.0 * result.best.params["x"], result.sweep["objective"])
"""
    )
    done = run_program(place, "-", text=typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"True __main__:typed \(code [0-9a-f]{8}\)\n", done.stdout)


def test_a_shared_sweep_says_that_it_does_not_confirm(tmp_path: Path) -> None:
    place = InMlruns(tmp_path)
    with postgresql() as url:
        typed = (
            HEAD
            + f"""
import hpo
def shared(trial):
    return trial.params["x"]
result = hpo.run(
    objective=shared, parameters={{"x": {{"min": 0.0, "max": 1.0}}}}, metric="loss", trials=2, progress=False,
    baselines=[{{"x": 0.5}}], confirm={{"top": 1, "seeds": 2}}, storage={url!r}, join=True,
)
print(len(result.trials), result.confirmation)
"""
        )
        done = run_program(place, "-", text=typed)
    assert (done.returncode, done.stdout) == (0, "2 None\n")
    assert "RuntimeWarning: 'shared' is not confirmed: it may have other drivers; call confirm() when" in done.stderr
