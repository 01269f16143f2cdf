"""The pages of `hpo ui` in a real browser: they lead to each other, say the same, and send nothing elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from e2e.support import Place
from optuna.trial import create_trial
from running_ui import ENV, HPO, OBJECTIVE, Ui, get

from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome

from . import chromium
from .recorded import Trial, recorded, sweep_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NAME = "größte Suche 1"
TRIALS = 6
_BENIGN = "ResizeObserver loop"  # MLflow's charts were resized twice in one picture of a busy browser
PATIENCE = 60_000  # milliseconds


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished sweep, and with studies that are hard to show."""
    chromium.require()
    folder = tmp_path_factory.mktemp("browser")
    objective = folder / "objective.py"
    objective.write_text(OBJECTIVE)
    (folder / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    file = folder / "quick.yaml"
    file.write_text(
        textwrap.dedent(
            f"""
            name: {NAME}
            objective: {objective}:objective
            data: {{csv: {folder / "rows.csv"}}}
            metric: {{name: score, goal: maximize}}
            method: random
            budget: {{trials: {TRIALS}}}
            engine: {{type: local, workers: 1}}
            parameters:
              x: {{min: 0.0, max: 1.0}}
              kind: {{values: [a, b]}}
            """
        )
    )
    Place(folder).sweep(file)
    place, parameters = Home(folder / "home"), {"x": {"min": 0.0, "max": 1.0}}
    failed = Trial({"x": 0.1}, Outcome("failed", error="ValueError: no"))
    recorded(place, sweep_of(folder, parameters, name="empty"), [])
    recorded(place, sweep_of(folder, parameters, name="failures"), [failed, failed])
    recorded(place, sweep_of(folder, parameters, name="running"), [Trial({"x": 0.2}, series={"score": [0.1]})])
    two = optuna.create_study(storage=open_storage(place), study_name="two metrics", directions=["minimize"] * 2)
    two.add_trial(create_trial(values=[1.0, 2.0]))
    return folder / "home"


@pytest.fixture(scope="module")
def best(home: Path) -> dict[str, float]:
    """The best trial's number and value, as the study has them."""
    said = Place(home.parent).run("best", NAME, "--format", "json")
    assert said.returncode == 0, said.stderr
    return dict(json.loads(said.stdout))


@pytest.fixture(scope="module")
def ui(home: Path) -> Iterator[Ui]:
    running = Ui(home, NAME, "--mlflow-port", "0", "--dashboard-port", "0")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def page(ui: Ui) -> Iterator[Page]:
    """A browser that has never been here. In the end: no request left this machine, and no console had an error."""
    with chromium.open_page() as (page, foreign):
        errors: list[str] = []
        page.context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.context.on("weberror", lambda found: errors.append(str(found.error)))
        yield page
    assert foreign == []
    assert [error for error in errors if _BENIGN not in error] == []


def followed(page: Page, link: Locator) -> Page:
    """Click a link; return the page to which it leads, which may be a new one."""
    if link.get_attribute("target") != "_blank":
        link.click()
        return page
    with page.context.expect_page() as opened:
        link.click()
    return opened.value


def test_pages_lead_to_each_other_and_say_the_same_of_the_best_trial(
    ui: Ui, page: Page, best: dict[str, float]
) -> None:
    from playwright.sync_api import expect

    number, value = int(best["number"]), best["value"]
    page.goto(ui.address("All studies"))
    row = page.get_by_role("row").filter(has_text=NAME)
    expect(row).to_contain_text(f"{value:.6g}")
    expect(row).to_contain_text(f"trial {number}")
    expect(row).to_contain_text("done")

    row.get_by_role("link", name="Optuna dashboard").click()
    expect(page.get_by_text(f"{NAME} (id=")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".js-plotly-plot .scatterlayer path").first).to_be_visible(timeout=PATIENCE)

    page.goto(ui.address("All studies"))
    page.get_by_role("row").filter(has_text=NAME).get_by_role("link", name="MLflow").click()
    expect(page.get_by_text(f"best score {value:.6g} in trial {number}")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Model training")).to_be_visible()  # its menus for machine learning
    expect(page.get_by_text("rows.csv").first).to_be_visible()
    page.get_by_text("Show more").click()
    page = followed(page, page.get_by_role("cell", name=str(number), exact=True).get_by_role("link").first)

    said = f"Trial {number}: complete, score {value:.6g}"
    expect(page.get_by_text(said)).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Model training")).to_be_visible()
    page = followed(page, page.get_by_role("link", name=f"trial {number} in the Optuna dashboard"))

    expect(page.get_by_text(said)).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(f"rank 1 of {TRIALS} complete trials")).to_be_visible()
    expect(page.get_by_text("Best Trial", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("^history "))).to_have_count(0)
    page = followed(page, page.get_by_role("link", name="MLflow run"))
    expect(page.get_by_role("heading", name=f"{NAME} {number:04d}")).to_be_visible(timeout=PATIENCE)
    page = followed(page, page.get_by_role("link", name="the sweep in the Optuna dashboard"))
    expect(page.get_by_text(f"{NAME} (id=")).to_be_visible(timeout=PATIENCE)


def test_mlflow_has_columns_charts_and_files_that_are_set_up(ui: Ui, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(ui.address("All studies") + f"/hpo/open?in=charts&study={NAME}")
    expect(page.get_by_text("Parallel Coordinates")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("heading", name="score", exact=True)).to_be_visible()
    page.goto(ui.address("All studies") + f"/hpo/open?in=runs&study={NAME}")
    expect(page.get_by_text(f"{TRIALS + 1} matching runs")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("hpo.state").first).to_be_visible()
    page.get_by_role("link", name=f"{NAME} (sweep)").click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("sweep.yaml").first.click()
    expect(page.get_by_text("method: random")).to_be_visible(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("study", "says"),
    [("empty", "no trial yet"), ("failures", "only failures"), ("running", "1 running"), ("two metrics", "1 complete")],
)
def test_studies_that_are_hard_to_show(ui: Ui, page: Page, study: str, says: str) -> None:
    from playwright.sync_api import expect

    page.goto(ui.address("All studies"))
    row = page.get_by_role("row").filter(has_text=study)
    expect(row).to_contain_text(says)
    row.get_by_role("link", name="Optuna dashboard").click()
    expect(page.get_by_text(f"{study} (id=")).to_be_visible(timeout=PATIENCE)


def test_a_study_that_is_asked_for_is_told(ui: Ui, home: Path) -> None:
    assert re.search(rf"^  study {NAME}: http://127.0.0.1:\d+/#/experiments/\d+/runs", ui.said, re.MULTILINE)
    assert "study empty" not in ui.said
    answer = subprocess.run(
        [HPO, "ui", "größte Suche", "--home", str(home)], env=ENV, capture_output=True, text=True, timeout=60
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"did you mean '{NAME}'" in answer.stderr
    assert get(ui.address("All studies") + "/hpo/open?in=mlflow&study=empty")[0] == 404
