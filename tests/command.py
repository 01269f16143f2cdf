"""`hpo ...` in this process, for commands whose own process is not the point."""

from __future__ import annotations

import io
import os
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

import pytest

from hpo.cli.main import main


def run_here(arguments: list[str], folder: Path, environment: dict[str, str]) -> CompletedProcess[str]:
    """Run a command in a folder; what it changes of this process is put back."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["hpo", *arguments]),
        mock.patch.object(sys, "path", list(sys.path)),
        mock.patch.dict(os.environ, environment, clear=True),
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    code = ended.value.code
    assert isinstance(code, int)
    return CompletedProcess(["hpo", *arguments], code, out.getvalue(), err.getvalue())
