"""scripts/reproduce --quick: each study of the course runs and is written up; docs/course.md is what it writes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place
from forked_command import run_forked
from reproduction.__main__ import main
from reproduction.claims import Verdict, all_of, better, mean
from reproduction.numbers import minutes, show
from reproduction.running import CommandFailed, Runner
from reproduction.studies import STUDIES
from reproduction.study import Study, Then
from reproduction.writing import Writer
from scipy import stats

import hpo
from hpo.ledger.study.home import Home
from hpo.places import CIFAR10_FILES, CIFAR10_FOLDER
from hpo.review.studies import list_studies

PAGE = Path(__file__).parents[1] / "docs" / "course.md"
Command = Callable[[Sequence[str], Path, Mapping[str, str]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    environment = Place(tmp_path_factory.mktemp("unused"), torch=True).environment()
    return lambda arguments, folder, _: run_forked(list(arguments), folder, environment, 240, torch=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10 with 20 grey pictures in each file."""
    root = tmp_path_factory.mktemp("pictures")
    (root / CIFAR10_FOLDER).mkdir()
    for name in CIFAR10_FILES:
        records = (bytes([number % 10, *[number] * 3072]) for number in range(20))
        (root / CIFAR10_FOLDER / name).write_bytes(b"".join(records))
    return root


@pytest.mark.slow
def test_all_of_it_in_a_quick_run(
    tmp_path: Path, command: Command, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Sequence[str]] = []

    def counted(arguments: Sequence[str], *rest: object) -> subprocess.CompletedProcess[str]:
        calls.append(arguments)
        return command(arguments, *rest)  # type: ignore[arg-type]

    options = ["--quick", "--cifar10", str(pictures), "--home", str(tmp_path)]
    assert main(options, counted) == 0, capsys.readouterr().err
    page = (tmp_path / "course.md").read_text()
    assert headings(page) == headings(PAGE.read_text())
    for image in re.findall(r"\]\((images/[^)]+)\)", page):
        assert (tmp_path / image).stat().st_size > 1000
    assert not re.search(r"\bnan\b|\binf\b|None", page)
    recorded = {line.name for line in list_studies(Home(tmp_path))}
    assert {run.study for study in STUDIES for run in study.runs(quick=True)} <= recorded

    done, runner = len(calls), Runner(tmp_path, True, pictures, counted)
    for study in STUDIES:
        runner.run(study, lambda text: None)
    assert len(calls) == done  # what is recorded is not trained again
    for study in (study for study in STUDIES if study.name in ("momentum", "forward_numpy")):
        writer = Writer(runner.records, tmp_path / "again", quick=True)
        study.write(writer)
        assert writer.blocks and all(block in page for block in writer.blocks)  # and is written up alike


def headings(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("#")]


def test_a_study_that_fails_is_begun_again_where_it_stopped(tmp_path: Path) -> None:
    """A command that fails is told, with what it said, and done again in the next run; what was done is not."""
    code = {"one": 0, "two": 1}
    done: list[str] = []

    def command(arguments: Sequence[str], folder: Path, _: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        name = arguments[1].removeprefix("check-")
        done.append(name)
        return subprocess.CompletedProcess(list(arguments), code[name], "said\n", "why\n")

    study = Study("s", "S", "what?", [Then(["report", "check-one"]), Then(["report", "check-two"])], lambda page: [])
    with pytest.raises(CommandFailed, match=r"(?s)check-two.* ended with 1.*said.*why"):
        Runner(tmp_path, command=command).run(study, done.append)
    assert done == ["hpo report check-one", "one", "hpo report check-two", "two"]
    del done[:]
    code["two"] = 0
    Runner(tmp_path, command=command).run(study, lambda text: None)
    Runner(tmp_path, command=command).run(study, lambda text: None)
    assert done == ["two"]
    assert (tmp_path / "said.log").read_text().count("why") == 3


def test_commands_find_the_pictures_from_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C there is no fault: the same command goes on."""
    asked: list[Sequence[str]] = []

    def command(arguments: Sequence[str], folder: Path, _: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    options = ["--quick", "--only", "optimizers_cifar10", "--cifar10", "pictures", "--home", "home"]
    assert main(options, command) == 130
    assert f"data.root={tmp_path / 'pictures'}" in asked[0] and asked[0][-1] == str(tmp_path / "home")


def test_studies_that_are_not_recorded_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--only",
        "forward_numpy",
        "--home",
        str(tmp_path / "home"),
        "--output",
        str(tmp_path / "new" / "folder"),
    ]
    assert main(options) == 0
    page = (tmp_path / "new" / "folder" / "course.md").read_text()
    assert "(#by-hand-in-numpy)" in page and "(#momentum)" not in page and "| `momentum` |" in page
    assert "not on the page, since they are not recorded" in capsys.readouterr().err


def test_means_have_students_interval() -> None:
    found = mean([1.0, 2.0, 4.0, 5.0, float("nan")])
    assert (found.value, found.count) == (3.0, 4)
    expected = stats.ttest_1samp([1.0, 2.0, 4.0, 5.0], 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert str(found) == "3 (0.0948 to 5.91)"
    assert str(mean([2.5])) == "2.5" and str(mean([])) == "-"


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([Verdict.HOLDS, Verdict.HOLDS], Verdict.HOLDS),
        ([Verdict.HOLDS, Verdict.FAILS], Verdict.PARTLY),
        ([Verdict.HOLDS, Verdict.UNKNOWN], Verdict.PARTLY),
        ([Verdict.FAILS, Verdict.FAILS], Verdict.FAILS),
        ([Verdict.FAILS, Verdict.UNKNOWN], Verdict.UNKNOWN),
    ],
)
def test_a_claim_of_several_parts(verdicts: list[Verdict], whole: Verdict) -> None:
    assert all_of(verdicts) is whole


def test_who_is_better_is_said_by_the_platforms_own_test(tmp_path: Path) -> None:
    def score(trial: Any) -> float:
        return {"a": 2.0, "b": 1.0, "c": 1.0}[trial.params["kind"]] + trial.params["seed"] * 0.01

    result = hpo.run(
        objective=score, metric="score", goal="maximize", method="grid", workers=0, home=tmp_path, progress=False,
        parameters={"kind": {"values": ["a", "b", "c"]}, "seed": {"min": 0, "max": 9}}, trials=30,
    )  # fmt: skip
    compared = result.compare(by="kind")
    assert better(compared, "a", "b")[0] is Verdict.HOLDS
    verdict, words = better(compared, "b", "a")
    assert verdict is Verdict.FAILS
    assert words.startswith("a better than b by 1 score (1 to 1), p = 0.00")
    assert better(compared, "b", "c")[0] is Verdict.UNKNOWN
    assert better(compared, "a", "nobody")[0] is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (1234.5, "1,234"), (0.86499, "0.865"), (0.5, "0.5"), (-12.345, "-12.3"), (100.0, "100"),
     (1e-7, "1.0e-07"), (float("nan"), "-")],
)  # fmt: skip
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert show(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.04, "4.0 s"), (45.2, "45 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_times_are_read_at_once(seconds: float, text: str) -> None:
    assert minutes(seconds) == text
