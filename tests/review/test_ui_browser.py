"""The pages of `hpo ui` in a real browser: they lead to each other, say the same, and send nothing elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from e2e.support import Place
from optuna.trial import create_trial
from running_ui import ENV, HPO, Ui, get
from waiting import wait_for

from hpo.ledger.study.home import open_storage
from hpo.report.facts import StudyFacts
from hpo.report.page import rendered
from hpo.review.studies import read_study

from . import chromium
from .recorded import recorded, sweep_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NAME = "größte Suche 1"
TRIALS = 6
PARAMETERS = {"x": {"min": 0.0, "max": 1.0}, "kind": {"values": ["a", "b"]}}
_BENIGN = "ResizeObserver loop"  # MLflow's charts were resized twice in one picture of a busy browser
PATIENCE = 60_000  # milliseconds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A home with a finished sweep, and with studies that are hard to show."""
    chromium.require()
    folder = tmp_path_factory.mktemp("browser ö")
    place = Place(folder)
    (folder / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    keys: dict[str, Any] = {"engine": {"workers": 1}, "parameters": PARAMETERS}
    data, few = {"csv": str(folder / "rows.csv")}, {"trials": 2, "failures": 1}
    place.sweep(place.write("parabola", name=NAME, data=data, budget={"trials": TRIALS}, **keys))
    place.sweep(place.write("parabola", name="only one é", budget={"trials": 1}, **keys))
    assert place.run("sweep", place.write("raises", name="failures 日本", budget=few, **keys)).returncode == 1
    recorded(place.home, sweep_of(folder, {"x": PARAMETERS["x"]}, name="empty"), [])
    two = optuna.create_study(storage=open_storage(place.home), study_name="two metrics", directions=["minimize"] * 2)
    two.add_trial(create_trial(values=[1.0, 2.0]))
    return place


@pytest.fixture(scope="module")
def runner(place: Place) -> Iterator[subprocess.Popen[str]]:
    """A sweep that runs, with two complete trials and one that waits."""
    path = place.write("held", name="it runs", data={"go": "nowhere"}, engine={"workers": 1}, parameters=PARAMETERS)
    runs = place.start("sweep", path)
    before = place.ended()
    wait_for(lambda: place.ended() >= before + 2, "two complete trials", process=runs)
    wait_for(lambda: place.trials("it runs")[-1].state.name == "RUNNING", "one that runs", process=runs)
    yield runs
    runs.kill()
    runs.communicate()


@pytest.fixture(scope="module")
def home(place: Place) -> Path:
    return place.home.path


@pytest.fixture(scope="module")
def best(place: Place) -> dict[str, float]:
    """The best trial's number and value, as the study has them."""
    return dict(json.loads(place.run("best", NAME, "--format", "json").stdout))


@pytest.fixture(scope="module")
def ui(home: Path) -> Iterator[Ui]:
    running = Ui(home, NAME, "--mlflow-port", "0", "--dashboard-port", "0")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="module")
def browser(place: Place) -> Iterator[Browser]:
    with chromium.started() as browser:
        yield browser


@pytest.fixture
def page(ui: Ui, browser: Browser) -> Iterator[Page]:
    """A browser that has never been here. In the end: no request left this machine, and no console had an error."""
    with chromium.open_page(browser) as (page, foreign):
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


# What the first page says of a study's state and trials, and what MLflow's page of its sweep says; None: it has none.
SMALL = {
    "empty": ("no trial yet", "none", None),
    "only one é": ("done", "1\xa0complete", "1 complete, 0 pruned, 0 failed; best score"),
    "failures 日本": ("only failures", "2\xa0failed", "0 complete, 0 pruned, 2 failed; no trial finished"),
    "it runs": ("1 running, ", "1\xa0running", "its runs, the best first"),
    "two metrics": ("done", "1\xa0complete", None),
}


@pytest.mark.usefixtures("runner")
def test_studies_that_are_hard_to_show(ui: Ui, page: Page, place: Place) -> None:
    """In both UIs and as reports."""
    from playwright.sync_api import expect

    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for study, (state, trials, told) in SMALL.items():
        page.goto(ui.address("All studies"))
        row = page.get_by_role("row").filter(has_text=study)
        expect(row).to_contain_text(state)
        expect(row).to_contain_text(trials)
        assert row.get_by_role("link", name="MLflow").count() == (study != "two metrics")
        row.get_by_role("link", name="Optuna dashboard").click()
        expect(page.get_by_text(f"{study} (id=")).to_be_visible(timeout=PATIENCE)
        if told is not None:
            page.goto(f"{ui.address('All studies')}/hpo/open?in=mlflow&study={study}")
            expect(page.get_by_text(told).first).to_be_visible(timeout=PATIENCE)
        if study == "two metrics":
            continue
        report = place.folder / f"{study}.html"
        report.write_text(rendered(StudyFacts(place.home, read_study(place.home, study), time.time()))[0])
        page.goto(report.as_uri())
        assert page.title() == f"{study}: report" and page.evaluate(wide) == 0
    page.set_viewport_size({"width": 800, "height": 900})
    page.goto(ui.address("All studies"))
    assert page.evaluate(wide) == 0


def test_a_driver_that_is_killed_runs_no_more(ui: Ui, page: Page, place: Place, runner: subprocess.Popen[str]) -> None:
    from playwright.sync_api import expect

    page.goto(ui.address("All studies"))
    row = page.get_by_role("row").filter(has_text="it runs")
    expect(row).to_contain_text("1 running, 2 of 6 done")
    runner.kill()
    wait_for(lambda: place.runs("it runs")[0].info.status == "KILLED", "MLflow to say so")
    page.reload()
    expect(row).to_contain_text("interrupted, 2 of 6 done")
    expect(page.get_by_text("go on: ")).to_be_visible()
    row.get_by_role("link", name="MLflow").click()
    expect(page.get_by_text("interrupted: whoever runs this study again goes on with it")).to_be_visible(
        timeout=PATIENCE
    )


def test_a_study_that_is_asked_for_is_told(ui: Ui, home: Path) -> None:
    assert re.search(rf"^  study {NAME}: http://127.0.0.1:\d+/#/experiments/\d+/runs", ui.said, re.MULTILINE)
    assert "study empty" not in ui.said
    answer = subprocess.run(
        [HPO, "ui", "größte Suche", "--home", str(home)], env=ENV, capture_output=True, text=True, timeout=60
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"did you mean '{NAME}'" in answer.stderr
    assert get(ui.address("All studies") + "/hpo/open?in=mlflow&study=empty")[0] == 404
