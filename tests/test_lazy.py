"""Modules that load at first use."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any


def run(script: str) -> Any:
    """Return what a script prints as JSON, in a process of its own: here, all is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def test_generators_are_seeded_as_soon_as_their_module_is_used() -> None:
    """An objective may import Torch in the middle of a trial; one that does not must not pay for it."""
    found = run(
        """
        import json, sys
        from hpo.objective.function import seed_everything

        def seeds():
            return [torch.initial_seed(), int(numpy.random.get_state()[1][0])]

        seed_everything(1)
        seed_everything(7)
        loaded = [name for name in ("torch._C", "numpy._core") if name in sys.modules]
        import numpy, torch
        first = seeds()
        torch.manual_seed(2)
        import torch.nn
        again = seeds()
        seed_everything(9)
        print(json.dumps([loaded, first, again, seeds()]))
        """
    )
    assert found == [[], [7, 7], [2, 7], [9, 9]]


def test_a_lazy_module_can_still_be_asked_for_its_source() -> None:
    source, act = run(
        """
        import inspect, json
        from hpo.lazy import lazy_import, when_loaded
        acts = []
        colorsys = lazy_import("colorsys")
        when_loaded("colorsys", "a", lambda: acts.append("first"))
        when_loaded("colorsys", "a", lambda: acts.append("second"))
        source = inspect.getsource(colorsys)
        when_loaded("colorsys", "a", lambda: acts.append("now"))
        print(json.dumps([source, acts]))
        """
    )
    assert "def rgb_to_hsv" in source
    assert act == ["second", "now"]


def test_a_module_that_nobody_has_used_is_not_loaded_for_its_file() -> None:
    script = """
import sys
from hpo.lazy import file_of, lazy_import
module = lazy_import("torch")
assert file_of(module).endswith("__init__.py"), file_of(module)
assert "torch._C" not in sys.modules
assert file_of(sys) == ""
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_hidden_module_is_not_loaded_by_who_looks_for_it() -> None:
    """SciPy looks for Torch as it is imported; the one that was hidden is there again, and still loads."""
    found = run(
        """
        import json, sys
        from hpo.lazy import hidden_while_unused, lazy_import

        torch = lazy_import("torch")
        with hidden_while_unused("torch"), hidden_while_unused("numpy"):
            from scipy.stats import hypergeom
            hypergeom.cdf(1, 10, 3, 4)
        loaded, same = "torch._C" in sys.modules, sys.modules["torch"] is torch
        try:
            with hidden_while_unused("torch"):
                sys.modules["torch"] = "another one"
            refused = False
        except RuntimeError:
            refused = sys.modules["torch"] is torch
        print(json.dumps([loaded, same, refused, float(torch.ones(2).sum())]))
        """
    )
    assert found == [False, True, True, 2.0]


def test_a_lazy_module_is_loaded_without_collecting_garbage(tmp_path: Path) -> None:
    """What a trial has set is as it was."""
    (tmp_path / "heavy.py").write_text("import gc\ncollects = gc.isenabled()\n")
    (tmp_path / "heavier.py").write_text("import gc\ncollects = gc.isenabled()\n")
    found = run(
        f"""
        import gc, json, sys
        from hpo.lazy import lazy_import
        sys.path.insert(0, {str(tmp_path)!r})
        found = [lazy_import("heavy").collects, gc.isenabled()]
        gc.disable()
        print(json.dumps(found + [lazy_import("heavier").collects, gc.isenabled()]))
        """
    )
    assert found == [False, True, False, False]
