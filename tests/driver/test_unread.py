"""What is said of hyperparameters that a task does not read: a refusal with places, or a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.driver.unread import take_unread
from hpo.events import Unread
from hpo.spec.faults import Fault, SpecError
from hpo.spec.space import Constant, Parameter, Range, Space
from hpo.spec.sweep import AsWritten, Limits, Sweep, Target
from hpo.standing import SweepListener

SPACE = Space((Parameter("a", Range(0.0, 1.0)), Parameter("b", Constant(1)), Parameter("c", Constant(2))))
PLACES = {"a": Fault("", ("parameters", "a"), 7), "b": Fault("", ("parameters", "b"), None, source="-o parameters.b=1")}
SWEEP = Sweep(
    "s", Path("s.yaml"), "", Target("score", "maximize"), SPACE, Limits(9), written=AsWritten(places=PLACES)
)  # fmt: skip


class Heard:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str, warning: bool = False) -> None:
        assert warning
        self.texts.append(text)


def told(unread: Unread, has_trials: bool = False) -> list[str]:
    listener = Heard()
    take_unread(unread, SWEEP, has_trials, _as_listener(listener))
    return listener.texts


def _as_listener(heard: Heard) -> SweepListener:
    return heard  # type: ignore[return-value]


def test_what_is_certain_is_refused_with_place_and_remedy():
    with pytest.raises(SpecError) as caught:
        told(Unread("Mine", ("a", "b", "c"), own=frozenset("b")))
    a, b, c = sorted(str(caught.value).splitlines(), key=lambda line: line.partition(" never reads ")[2])
    assert a.startswith("s.yaml:7: parameters.a: Mine never reads 'a', ") and "searching it has no effect" in a
    assert 'params["a"]' in a and 'parameters = {"a": None}' in a
    assert b.startswith("-o parameters.b=1: parameters.b: Mine never reads 'b', ") and "setting it has no effect" in b
    assert "take 'b' out of Mine.parameters" in b
    assert c.startswith("s.yaml: Mine never reads 'c'")  # of which nobody knows the place


def test_a_study_that_has_trials_goes_on():
    assert told(Unread("Mine", ("a", "b")), has_trials=True) == [
        "Mine never reads a and b: what this study has of it says nothing"
    ]


def test_what_is_not_certain_is_told():
    (unseen,) = told(Unread("Mine", unseen=("a", "b", "c")))
    assert unseen.startswith("no model that was made for a try reads a, b and c: ") and '{"a": None}' in unseen
    (useless,) = told(Unread("Mine", without_effect=("b",)))
    assert useless.startswith("Mine takes all hyperparameters at once, and none of the models ")
    assert "depends on b: " in useless and '{"b": None}' in useless
