"""The panel in a notebook. (tests/scripting/test_notebook.py has a real kernel, where there is one.)"""

from __future__ import annotations

import builtins
import io
import sys
from types import ModuleType
from typing import Any

import pytest

from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.review.display import make_display
from hpo.standing import Standing


class ZMQInteractiveShell:
    """By this name rich knows a notebook."""


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """What IPython was asked to show: whether anew or in its place, and the bundle of formats."""
    shown: list[tuple[str, dict[str, str]]] = []

    class Handle:
        def update(self, thing: Any) -> None:
            shown.append(("update", thing._repr_mimebundle_((), ())))

    def display(thing: Any, display_id: bool) -> Handle:
        shown.append(("new", thing._repr_mimebundle_((), ())))
        return Handle()

    module = ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    return shown


def standing() -> Standing:
    standing = Standing("a study", "score", "maximize", 20)
    standing.leaders.top = [TrialRecord(3, {"x": "<b>"}, 1, outcome=Outcome("complete", value=0.5))]
    standing.counts.complete, standing.activity.phase, standing.seconds = 5, "writing MLflow", 90.0
    return standing


def test_the_panel_is_drawn_in_its_place_and_left_as_it_ended(shown: list[tuple[str, dict[str, str]]]) -> None:
    stream = io.StringIO()
    with make_display(stream, quiet=False) as display:
        display.tick(standing())
        display.tick(standing())  # too soon
        display.note("a word")
        failed = TrialRecord(4, {}, 1, outcome=Outcome("failed", error="ValueError: no"))
        now = standing()
        now.counts.errors.update(["ValueError: no"])
        display.trial(failed, now)
    assert [how for how, _ in shown] == ["new", "update"]
    first, last = (bundle["text/plain"] for _, bundle in shown)
    assert "a study" in first and "5/20" in first and "writing MLflow" in first and "best  score=0.5 (trial 3)" in first
    assert "writing MLflow" not in last and "1 min 30 s" in last
    html = shown[0][1]["text/html"]
    assert html.startswith("<pre ") and "x=&lt;b&gt;" in html
    assert stream.getvalue() == "note: a word\ntrial 4 failed: ValueError: no\n"


def test_quiet_shows_nothing(shown: list[tuple[str, dict[str, str]]]) -> None:
    with make_display(io.StringIO(), quiet=True) as display:
        display.tick(standing())
    assert shown == []
