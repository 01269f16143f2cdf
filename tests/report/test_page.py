"""What a report says of a study: computed, true, and of every kind of study."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from review.recorded import Trial, complete
from review.recorded import sweep_of as recorded_sweep

from hpo.ledger.study.book import facts_of as attributes_of
from hpo.ledger.study.confirmations import CONFIRMATIONS
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome
from hpo.report.contents import SECTIONS
from hpo.report.facts import StudyFacts
from hpo.report.page import rendered
from hpo.report.report import _PLOTS
from hpo.report.sections import bounds, cost, curves, ending, together, troubles
from hpo.review.studies import RecordedStudy

from .studies import BASELINE, NAME, SPACE, facts_of, many, trial


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> StudyFacts:
    still = Trial({**BASELINE, "width": 64}, None, {"val_accuracy": [0.25]})
    folder = tmp_path_factory.mktemp("page")
    base = trial(random.Random(5), 1, **BASELINE)
    found = facts_of(folder, [base, *many(90), still], description="ein Wort <dazu>", baselines=[BASELINE])
    return replace(found, study=replace(found.study, live=True))


@pytest.fixture(scope="module")
def written(facts: StudyFacts) -> tuple[str, dict[str, bytes]]:
    before = dict(mpl.rcParams)
    found = rendered(facts)
    assert dict(mpl.rcParams) == before and not plt.get_fignums()
    return found


def lead(page: str, slug: str) -> str:
    """Return the sentence under a heading."""
    found = re.search(rf'<section id="{slug}">.*?<p class=lead>(.*?)</p>', page, re.DOTALL)
    assert found is not None, f"there is no section {slug}"
    return found[1]


def test_the_page_says_what_came_out(facts: StudyFacts, written: tuple[str, dict[str, bytes]]) -> None:
    page, best = written[0], facts.best
    assert best is not None and best.value == max(r.value or 0 for r in facts.records if r.state == "complete")
    assert f"Trial {best.number} is the best of" in lead(page, "outcome") and f"val_accuracy {best.value:.6g}" in page
    assert f"trial {best.number}, complete" in page and f"<title>{NAME}: report</title>" in page
    assert "ein Wort &lt;dazu&gt;" in page and "not confirmed" in page and "1 trial" not in lead(page, "outcome")
    assert "one still runs" in page and "trial 0; the best differs by +" in page


def test_every_section_is_there_and_each_plot_is_a_file(written: tuple[str, dict[str, bytes]]) -> None:
    page, pictures = written
    assert [section.slug for section in SECTIONS] == re.findall(r'<section id="(.*?)">', page)
    names = {"best-so-far", "importance", "isolation", "parallel-coordinates", "contour", "learning-curves"}
    names |= {"choices-1", "choices-2", "troubles", "cost", "noise"}
    assert pictures.keys() == {f"{name}.png" for name in names}
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert page.count("<svg") == len(pictures)
    assert all(_PLOTS.fullmatch(name) for name in pictures)  # else a stale one would stay


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(written: tuple[str, dict[str, bytes]]) -> None:
    page = written[0]
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    links = set(re.findall(r'(?:src|href)="([^"]*)"', page)) | set(re.findall(r"url\(([^)]*)\)", page))
    assert {link.partition(",")[0].partition("-")[0][:5] for link in links if not link.startswith("#")} <= {"data:"}
    assert "default-src 'none'" in page
    ids = re.findall(r'id="([^"]+)"', page)
    assert set(re.findall(r'"#([^"]+)"', page)) <= set(ids)


def test_colours_are_the_pages_own_so_that_it_is_dark_and_light(written: tuple[str, dict[str, bytes]]) -> None:
    svg = written[0].partition("<svg")[2]
    assert "var(--ink)" in svg and "var(--blue)" in svg
    assert not re.search(r"(fill: #(000000|1f2328|ffffff)|stroke: #(000000|1f2328))", svg)
    assert "prefers-color-scheme: dark" in written[0] and "@media print" in written[0]


def test_names_are_no_formulas(written: tuple[str, dict[str, bytes]]) -> None:
    assert written[0].count(">$x_1$ &amp; 50%</text>") >= 3 and "Lernrate η, log scale" in written[0]


def test_an_end_at_which_trials_diverge_is_not_to_be_widened(facts: StudyFacts) -> None:
    body = bounds.tell(facts)
    assert body is not None and "Lernrate" not in body.lead.partition(";")[0].partition("Yes: ")[2]
    ends = {end.name: end for axis in facts.axes for end in bounds.at_ends(facts, axis)}
    assert "upper end" in ends["Lernrate η"].place and not ends["Lernrate η"].way
    assert re.search(r"where \d+ trials failed or diverged", ends["Lernrate η"].says)


def test_the_best_at_an_end_is_to_be_widened_there(tmp_path: Path) -> None:
    rising = facts_of(tmp_path, [complete(x, x=x) for x in (0.25, 0.5, 0.795)], {"x": {"min": 0.2, "max": 0.8}})
    body = bounds.tell(rising)
    assert body is not None
    assert body.lead == "Yes: the best trial's x 0.795 is at the upper end of 0.2 to 0.8: widen it upwards, to 0.9 say."
    (tmp_path / "inside").mkdir()
    rng = random.Random(1)
    trials = [complete(1 - abs(x - 0.5), x=x) for x in (rng.random() for _ in range(30))]
    inside = facts_of(tmp_path / "inside", trials, {"x": {"min": -1.0, "max": 2.0}}, metric="score")
    body = bounds.tell(inside)
    assert body is not None and body.lead.startswith("No: the best trial ")


def test_a_natural_end_is_not_to_be_widened(tmp_path: Path) -> None:
    found = facts_of(tmp_path, [complete(1 - x, x=x) for x in (0.0, 0.1, 0.3)], {"x": {"min": 0.0, "max": 0.4}})
    body = bounds.tell(found)
    assert body is not None and body.lead == "Yes, of x; but nothing speaks for a wider range."


def test_the_region_that_diverges_is_found_and_chance_is_none(facts: StudyFacts, tmp_path: Path) -> None:
    body = troubles.tell(facts)
    assert body is not None and re.search(r"\d+ of the \d+ trials with Lernrate η 0.022 to 0.1 did", body.lead)
    assert any("no luck" in str(block) for block in body.blocks)
    rng, outcomes = random.Random(3), [Outcome("complete", value=0.5), Outcome("failed", error="E: no")]
    trials = [Trial({"x": rng.random()}, outcomes[rng.random() < 0.2]) for _ in range(80)]
    body = troubles.tell(facts_of(tmp_path, trials, {"x": {"min": 0.0, "max": 1.0}}))
    assert body is not None and body.lead.endswith("No parameter by itself tells where.")


def test_still_improving_is_told_from_noise(tmp_path: Path) -> None:
    rng = random.Random(2)
    rising = [[0.1 + 0.02 * step + 0.04 * k for step in range(30)] for k in range(4)]
    flat = [[0.9 + 0.01 * k + rng.gauss(0, 0.01) for _ in range(30)] for k in range(4)]
    for kind, series, word in (("rising", rising, "Yes, 4 of the 4"), ("flat", flat, "No: none of the 4 ")):
        trials = [Trial({"x": 0.5}, Outcome("complete", value=s[-1]), {"score": s}) for s in series]
        (tmp_path / kind).mkdir()
        body = ending.tell(facts_of(tmp_path / kind, trials, {"x": {"min": 0.0, "max": 1.0}}, metric="score"))
        assert body is not None and body.lead.startswith(word), (kind, body.lead)


def test_a_loss_improves_downwards(tmp_path: Path) -> None:
    series = [1 - 0.02 * step for step in range(30)]
    trials = [Trial({"x": 0.9}, Outcome("complete", value=series[-1]), {"loss": series})]
    found = facts_of(tmp_path, trials, {"x": {"min": 0.0, "max": 1.0}}, metric="loss", goal="minimize")
    body = ending.tell(found)
    assert body is not None and body.lead.startswith("Yes, the best trial is still improving")
    assert "downwards" not in lead(rendered(found)[0], "bounds")


def test_what_early_stopping_saved(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"space": {"x": {"min": 0.0, "max": 1.0}}, "metric": "score"}
    whole = Trial({"x": 0.1}, Outcome("complete", value=1.0), {"score": [0.1] * 9 + [1.0]}, seconds=10.0)
    stopped = Trial({"x": 0.2}, Outcome("pruned"), {"score": [0.5, 0.5]}, seconds=4.0, info={"cohort": 2})
    found = facts_of(tmp_path, [whole, stopped], **keys)
    saved = cost.saved(found)
    assert saved == cost.SavedSteps(8, 8 / 20, 8.0)
    body = curves.tell(found)
    assert body is not None and "1 of them was ahead of where the best trial stood" in body.lead


def test_the_time_between_two_runs_does_not_count(facts: StudyFacts) -> None:
    began = min(record.started for record in facts.records)
    for record in facts.records:
        assert record.started == began
    assert cost.running_time(facts, [began, began + 1.0])[1] == 1.0


def test_what_the_best_have_in_common(tmp_path: Path) -> None:
    rng = random.Random(4)
    space: dict[str, Any] = {"a": {"values": ["good", "bad", "ugly"]}, "b": {"min": 0.0, "max": 1.0}}
    space["usual"] = {"values": ["yes", "no"]}  # which all trials have in common, so it is nothing of the best ones
    given = [(rng.choice(space["a"]["values"]), rng.random(), "no" if n % 20 == 0 else "yes") for n in range(60)]
    trials = [complete((a == "good") + 0.001 * rng.random(), a=a, b=b, usual=c) for a, b, c in given]
    body = together.tell(facts_of(tmp_path, trials, space, metric="score"))
    assert body is not None and body.lead == "What the 10 best trials have in common: a good (10 of 10)."


def stopped(value: float) -> Trial:
    return Trial({"x": value}, Outcome("pruned", value=value), {"score": [0.0, value / 2, value]})


RUNNING = Trial({"x": 0.5}, None, {"score": [0.1, 0.2]})
FAILED = Trial({"x": 0.5}, Outcome("failed", error="RuntimeError: <no> luck"), {})


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ([], "The study has no trial yet."),
        ([complete(0.25, x=0.5)], "Trial 0 is the best of 1 complete trial: score 0.25."),
        ([FAILED] * 3, "No trial has a value yet: the study has 3 failed trials."),
        ([RUNNING] * 2, "the study has 2 interrupted trials."),
        ([Trial({"x": 0.5}, Outcome("pruned", diverged=1), {"score": [0.5]})], "the study has 1 pruned trial."),
        ([complete(0.25, x=0.5), complete(0.25, x=0.5)], "Trial 0 is the best of 2 complete trials: score 0.25."),
        ([complete(1e300, x=0.5), complete(-1e300, x=0.25), FAILED], "Trial 0 is the best of 2"),
        ([stopped(0.25)], "Trial 0 is the best of 1 stopped trial: score 0.25."),
        ([stopped(n / 30) for n in range(30)], "Trial 29 is the best of 30 stopped trials: score 0.966667."),
        ([stopped(0.5), complete(0.25, x=0.5)], "Trial 0 is the best of 2 complete or stopped trials: score 0.5."),
    ],
    ids=["none", "one", "failed", "interrupted", "diverged", "equal", "huge", "stopped", "many stopped", "mixed"],
)
def test_studies_of_every_kind(tmp_path: Path, trials: list[Trial], said: str) -> None:
    found = facts_of(tmp_path, trials, {"x": {"min": 0.0, "max": 1.0}, "y": {"value": 1}}, metric="score")
    page = rendered(found)[0]
    assert said in lead(page, "outcome") and "How to get the same again" in page
    assert "nan" not in re.sub(r"base64,[^\"]*|<style>.*?</style>", "", page, flags=re.DOTALL).lower()
    if any(trial is FAILED for trial in trials):
        assert "RuntimeError: &lt;no&gt; luck" in page


def test_what_runs_is_told_from_what_was_cut_off(tmp_path: Path) -> None:
    found = facts_of(tmp_path, [RUNNING, complete(0.25, x=0.5)], {"x": {"min": 0.0, "max": 1.0}}, metric="score")
    dead = rendered(found)[0]
    assert "The study was interrupted, with 1 trial to be run again" in dead and "still runs" not in dead
    live = rendered(replace(found, study=replace(found.study, live=True)))[0]
    assert "one still runs" in live and "A sweep ran on this study when" in live and "interrupted" not in live


def test_nothing_is_searched(tmp_path: Path) -> None:
    page = rendered(facts_of(tmp_path, [complete(0.5, x=1)], {"x": {"value": 1}}, metric="score"))[0]
    assert lead(page, "importance").startswith("Not known yet: nothing is searched")


def test_a_verdict_is_shown(tmp_path: Path) -> None:
    found = facts_of(tmp_path, [complete(0.5, x=0.1), complete(0.75, x=0.2)], {"x": {"min": 0.0, "max": 1.0}})
    final = {"name": "trial 1", "number": 1, "params": {"x": 0.2}, "validation": 0.7, "validation_sd": 0.01}
    final |= {"trials": [0, 1], "test": 0.7, "test_sd": 0.01}
    ranked = {**{key: final[key] for key in ("name", "number", "params", "validation", "validation_sd", "trials")}}
    verdict = {
        "study": "s.confirm", "moment": 1.0, "seeds": [1, 2], "winner": final, "baseline": {**final, "name": "b"},
        "ranking": [{**ranked, "baseline": False, "out": ""}],
        "measure": {"metric": "test_accuracy", "goal": "maximize", "on": "test", "rows": 200, "data": "d", "looks": 1},
        "result": {"difference": 0.125, "interval": [0.1, 0.15], "level": 0.95, "verdict": "better", "method": "m"},
    }  # fmt: skip
    attributes = {**found.study.attributes, CONFIRMATIONS: [verdict]}
    study = RecordedStudy(found.study.name, attributes, found.study.trials, found.study.storage)
    page = rendered(StudyFacts(found.home, study, 0.0))[0]
    assert "verdict over fresh seeds" in page and "test_accuracy +0.125, 95 % interval +0.1 to +0.15" in page
    assert "better: the winner is better than the baseline" in lead(page, "outcome")


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    url = "postgresql://me:Pa55wort-xyz@host/db"
    found = facts_of(tmp_path, [complete(0.5, x=0.5)], {"x": {"min": 0.0, "max": 1.0}}, data={"table": url})
    page = rendered(found)[0]
    assert "Pa55wort" not in page and "postgresql://me:***@host/db" in page


def test_ten_thousand_trials_are_a_small_page(tmp_path: Path) -> None:
    """Their study is made in memory: a journal of so many would take longer than their report."""
    from optuna.trial import TrialState, create_trial

    from hpo.ledger.study.records import TrialRecord, end_attributes, start_attributes
    from hpo.search.distributions import searched_params

    sweep = recorded_sweep(tmp_path, SPACE, "val_accuracy", name=NAME, early_terminate="asha")
    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    trials = []
    for number, given in enumerate(many(10_000)):
        assert given.outcome is not None
        record = TrialRecord(number, given.params, 1, started=1e9 + number, ended=1e9 + number + 3, info=given.info)
        record.outcome = given.outcome
        for name, values in given.series.items():
            for step, value in enumerate(values, start=1):
                record.steps.setdefault(step, {})[name] = value
                record.times[step] = 1e9 + number
        params, distributions = searched_params(sweep.space, given.params)
        frozen = create_trial(
            state=states[record.state], params=params, distributions=distributions,
            value=record.value if record.state == "complete" else None,
            user_attrs=start_attributes(record, False) | end_attributes(record),
        )  # fmt: skip
        frozen.number = number
        trials.append(frozen)
    study = RecordedStudy(NAME, attributes_of(sweep, "an id"), trials, None)  # type: ignore[arg-type]
    page, pictures = rendered(StudyFacts(Home(tmp_path), study, 1e9 + 20_000))
    assert len(page.encode()) < 5_000_000 and sum(map(len, pictures.values())) < 5_000_000
    assert "Drawn are the best 100 and " in page and "evenly thinned" in page


def test_what_choices_and_diagnoses_come_to(facts: StudyFacts, written: tuple[str, dict[str, bytes]]) -> None:
    page = written[0]
    said = lead(page, "comparisons")
    assert "is larger than the noise" in said or "more than noise" in said, said
    assert re.search(r"<code>hpo compare &#x27;größe 1 \+ ö&#x27; --by .* --home ", page)  # as a shell takes it
    known = [record for record in facts.records if record.diagnoses is not None]
    healthy = sum(record.diagnoses == () for record in known)
    assert known and f"{healthy} of {len(known)} trials that can be judged" in lead(page, "diagnoses")
    assert "Against diverged: a smaller learning_rate" in page and "health: true" in page
