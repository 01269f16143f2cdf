"""The command line in this process: exit code, standard output, standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hpo.cli.main import main


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Hpo = Callable[..., Outcome]


def run_hpo(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Outcome:
    monkeypatch.setattr(sys, "argv", ["hpo", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert isinstance(ended.value.code, int)
    return Outcome(ended.value.code, captured.out, captured.err)
