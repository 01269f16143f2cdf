"""`hpo.run` in a real kernel, where there is one (pip install ipykernel nbclient)."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place, assert_records_agree

pytestmark = pytest.mark.slow

SWEEP = """
import hpo
def objective(trial):
    import time
    for step in range(1, 6):
        time.sleep({pause})
        trial.report(step, score=SHIFT * trial.params["x"])
SHIFT = 3
result = hpo.run(objective=objective, parameters={{"x": {{"min": 0.0, "max": 1.0}}}}, metric="score",
                 goal="minimize", trials=6, workers=2, home="home")
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Place]]:
    pytest.importorskip("ipykernel")
    manager = pytest.importorskip("jupyter_client").KernelManager()
    place = Place(tmp_path_factory.mktemp("notebook"))
    manager.start_kernel(cwd=str(place.folder), env=dict(os.environ))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield (manager, client), place
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    client.context.destroy()  # with its sockets


def execute(kernel: Any, code: str, interrupted: bool = False) -> list[dict[str, Any]]:
    """Run a cell; return what it put out. interrupted: as by the button, once it has shown its panel with a trial."""
    manager, client = kernel
    out: list[dict[str, Any]] = []
    once = threading.Event()

    def hook(message: dict[str, Any]) -> None:
        out.append(message)
        text = message["content"].get("data", {}).get("text/plain", "")
        if interrupted and re.search("[1-5]/6", text) and not once.is_set():
            once.set()
            manager.interrupt_kernel()

    client.execute_interactive(code, timeout=240, output_hook=hook)
    return [{"type": message["msg_type"], **message["content"]} for message in out]


def test_a_function_of_a_notebook_and_the_interrupt_button(kernel: tuple[Any, Place]) -> None:
    clients, place = kernel
    out = execute(clients, SWEEP.format(pause=0.3), interrupted=True)
    (error,) = [message for message in out if message["type"] == "error"]
    assert error["ename"] == "KeyboardInterrupt" and "the same call of hpo.run goes on with it" in error["evalue"]
    out = execute(clients, SWEEP.format(pause=0.3))
    assert [message for message in out if message["type"] == "error"] == []
    panels = [message["data"] for message in out if message["type"] in ("display_data", "update_display_data")]
    assert "6/6" in panels[-1]["text/plain"] and "<pre" in panels[-1]["text/html"]
    assert_records_agree(place, "objective", all_ids=False)
    out = execute(clients, "print(len(result.trials) >= 6, result.best.value == 3 * result.best.params['x'])")
    assert [message["text"] for message in out if message["type"] == "stream"] == ["True True\n"]
    (figure,) = [m["data"] for m in execute(clients, "result.plot_history(backend='matplotlib')") if "data" in m]
    assert "image/png" in figure
    assert Path(place.home.path, "studies.journal").exists()
