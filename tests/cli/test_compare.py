"""`hpo compare` as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from review.recorded import Outcome as Ended
from review.recorded import Trial, recorded, sweep_of

import hpo as api
from hpo.ledger.study.home import Home

from .support import Hpo

SPACE = {"kind": {"values": ["a", "ü"]}, "x": {"min": 0.0, "max": 1.0}}


@pytest.fixture
def home(tmp_path: Path) -> str:
    trials = [
        Trial({"kind": kind, "x": x / 10}, Ended("complete", value=x + step), {"score": [x, x + step]}, seed=x)
        for x in range(8)
        for kind, step in (("a", 0), ("ü", 1))
    ]
    home = Home(tmp_path / "home")
    for name in ("größe 1", "two"):
        recorded(home, sweep_of(tmp_path, SPACE, name=name, method="random"), trials)
    return str(home.path)


def test_words_and_json(hpo: Hpo, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = hpo("compare", "größe 1", "--by", "kind", "--target", "7.5", "--home", home)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "kind in größe 1: score, larger is better" and max(map(len, lines)) <= 80
    assert any(line.split()[:4] == ["ü", "1", "of", "8"] for line in lines)
    assert "1 of 1 difference is larger than the noise. Trials with the same other" in outcome.out
    plain = json.loads(hpo("compare", "größe 1", "--by", "kind", "--json", "--home", home).out)
    (difference,) = plain["differences"]
    assert (difference["left"], difference["finding"], difference["pairs"], difference["shift"]) == (
        "ü",
        "better",
        8,
        1,
    )


def test_studies_and_a_script(hpo: Hpo, home: str) -> None:
    assert "two" in hpo("compare", "größe 1", "two", "--home", home).out
    first, second = api.load("größe 1", home), api.load("two", home)
    found = first.compare(second)
    assert found.differences[0].finding == "not shown" and str(found).splitlines()[0].startswith("größe 1, two: score")
    assert "0 of 1 differences" in repr(found) and found.plain["by"] is None
    assert first.compare(by="kind").plot().axes[0].get_ylabel() == "score"
    with pytest.raises(api.UserError, match="further studies are results"):
        first.compare("two")  # type: ignore[arg-type]
    with pytest.raises(api.UserError, match="bins must be a whole number, 2 to 20"):
        first.compare(by="x", bins=1)
    with pytest.raises(api.UserError, match="target must be a number"):
        first.compare(by="x", target=float("nan"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tw", "--by", "kind"), "did you mean 'two'?"),
        (("two",), "by what?"),
        (("two", "--by", "kind", "--bins", "3"), "--bins is for ranges"),
        (("two", "--by", "kind", "--target", "nan"), "must be a number"),
        ((), "Missing argument 'STUDY...'"),
    ],
)
def test_bad_input(hpo: Hpo, home: str, arguments: tuple[str, ...], words: str) -> None:
    outcome = hpo("compare", *arguments, "--home", home)
    assert (outcome.code, outcome.out) == (2, "") and words in outcome.err
