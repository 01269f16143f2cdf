"""What is a metric's value, where a library's import was cut off."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from hpo.objective.values import as_number


def test_numpy_whose_import_was_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Want of memory leaves half a module behind; a plain number is one all the same."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numpy", ModuleType("numpy"))
    assert as_number("score", 0.5) == 0.5
