"""What a Torch task's code says of hyperparameters that no model read: what it names is never refused."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import hpo
from hpo.events import Unread
from hpo.objective import unread
from hpo.objective.code_text import parsed, words
from hpo.spec.space import Constant, Parameter, Range

from .unread_support import DROPOUT, UNITS, WIDE, Net, look, plain, write


@pytest.mark.parametrize(
    ("line", "certain"),
    [
        ("pass", True),
        ("'A model without dropout.'", True),  # nobody uses it
        ("from torch.nn import Dropout", True),
        ("parameters = {'dropout': hpo.Known('float', 0.1)}", True),  # no reading
        ("x = 'dropout'", False),
        ("x = 'hidden_layers,dropout'.split(',')", False),
        ("x = lambda layer: f'drop{layer}'", False),  # a part of it
        ("def f(dropout): pass", False),  # **{name: params[name] for name in signature(f).parameters}
    ],
)
def test_where_not_all_can_be_tried_the_code_decides(tmp_path: Path, line: str, certain: bool):
    name = write(tmp_path, f"class Mine:\n    {line}\n    def model(self, params): return params['hidden_units']\n")
    found = look(lambda params, features: plain(features, params["hidden_units"]), WIDE, DROPOUT, named=name)
    assert found == (Unread("Mine", ("dropout",)) if certain else None)
    few = look(lambda params, features: plain(features, params["hidden_units"]), UNITS, DROPOUT, named=name)
    assert few == (Unread("Mine", ("dropout",)) if certain else Unread("Mine", unseen=("dropout",)))  # all were tried


def test_code_that_nobody_can_look_at_decides_nothing():
    found = look(lambda params, features: plain(features, params["hidden_units"]), WIDE, DROPOUT, named=None)
    assert found == Unread("Mine", unseen=("dropout",))


def test_words_are_texts_and_names_but_no_docstrings():
    source = inspect.getsource(Net)
    path = Path(inspect.getfile(Net))
    tree = parsed(path)
    assert tree is not None
    found = words([each for each in tree.body if getattr(each, "name", "") == "Net"])
    assert "dropout" in found.texts and "features" in found.names
    assert not any("Keeps what" in text for text in found.texts) and "Keeps what" in source


READS = {
    "rows of another kind": "x + params['shift'] if bool((x > 5).any()) else x",
    "a device": "x + params['shift'] if x.is_cuda else x",
    "Torch's own dice": "x + params['shift'] if torch.rand(()) < 1e-9 else x",
    "Python's dice": "x + params['shift'] if random.random() < 1e-9 else x",
    "an attribute": "x + Kept(params).shift",
    "a value that this sweep has not": "x + params['shift'] if params['units'] > 9 else x",
}
CODE = """
import random
import torch
class Kept:
    def __init__(self, params): self.__dict__ = params
class Mine:
    def batch(self, x, params, generator): return {}
"""


@pytest.mark.parametrize("when", READS)
def test_what_the_code_names_is_never_refused(tmp_path: Path, when: str):
    """It may read it yet: what was tried is not all that there is."""
    path, scope = tmp_path / "mine.py", dict[str, Any]()
    path.write_text(CODE.format(READS[when]))
    exec(compile(path.read_text(), str(path), "exec"), scope)
    own = {"shift": hpo.Known("float", 1.0), "units": hpo.Known("int", 8)}
    found = look(
        lambda params, features: plain(features), Parameter("shift", Range(0.0, 1.0)),
        Parameter("units", Constant(8)), named=f"{path}:Mine", batch=scope["Mine"].batch, parameters=own,
    )  # fmt: skip
    assert found is None or "shift" not in found.certain


def test_where_time_is_up_nothing_is_certain(monkeypatch: pytest.MonkeyPatch):
    """Large models: the next one might have read it, in a module of somebody else's."""
    monkeypatch.setattr(unread, "_SECONDS", 0.0)
    found = look(lambda params, features: plain(features), DROPOUT, UNITS)
    assert found == Unread("Mine", unseen=("dropout", "hidden_units"))


def test_no_large_model_is_made_where_nothing_could_be_refused(tmp_path: Path):
    made: list[int] = []

    def model(params: Any, features: int) -> nn.Module:
        made.append(params["hidden_units"])
        return plain(features, 2)

    name = write(tmp_path, "class Mine:\n    def model(self, params): return params['hidden_units'], 'dropout'\n")
    assert look(model, WIDE, DROPOUT, named=name) is None
    assert len(made) == 1
