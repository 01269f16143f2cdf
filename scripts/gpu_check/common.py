"""What the parts share: options, notes that are kept as they come, tables, and the trials that are trained."""

from __future__ import annotations

import json
import math
import random
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.events import TrialSpec
from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")  # whoever runs the parts needs none

EPOCHS = 20


@dataclass(frozen=True)
class Options:
    device_name: str
    quick: bool

    @property
    def device(self) -> torch.device:
        return torch.device(self.device_name, 0) if self.device_name == "cuda" else torch.device(self.device_name)

    def wait(self) -> None:
        """Wait until the device has done all that it was told."""
        if self.device_name == "cuda":
            torch.cuda.synchronize()


@dataclass
class Notes:
    """What a part found, on disk as soon as it is found: a part that is stopped has told all up to there."""

    path: Path
    found: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, value: Any) -> None:
        self.found[name] = value
        self.path.write_text(json.dumps(self.found))

    def row(self, title: str, row: dict[str, Any]) -> None:
        """Add a row to a table."""
        self.found.setdefault("tables", {}).setdefault(title, []).append(row)
        self.path.write_text(json.dumps(self.found))

    @contextmanager
    def going_on(self, name: str) -> Iterator[None]:
        """Note what is raised inside, and go on after it."""
        try:
            yield
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            self.found.setdefault("failed", {})[name] = traceback.format_exc()[-3000:]
            self.note("failed", self.found["failed"])

    def raise_failed(self) -> None:
        """Raise if something failed that was gone on after."""
        if failed := self.found.get("failed"):
            raise SystemExit(f"failed: {', '.join(failed)}")


def table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a table of Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = [names, *[[_text(row.get(name, "")) for name in names] for row in rows]]
    widths = [max(len(line[index]) for line in texts) for index in range(len(names))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in texts
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join([f"\n{title}\n", *lines, ""])


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def seconds(options: Options, act: Callable[[], Any]) -> float:
    """Return how long something takes, the device's work included."""
    options.wait()
    began = time.perf_counter()
    act()
    options.wait()
    return time.perf_counter() - began


def draw(count: int, epochs: int = EPOCHS, first: int = 0) -> list[TrialSpec]:
    """Return trials drawn from the course's space, always the same: optimizers, losses and activations mix."""
    trials = []
    for number in range(first, first + count):
        chance = random.Random(number)
        params = {
            "optimizer": chance.choice(["sgd", "adam", "adamw", "rmsprop", "adagrad"]),
            "learning_rate": 10 ** chance.uniform(-4, -1),
            "weight_decay": math.exp(chance.uniform(math.log(1e-6), math.log(1e-2))),
            "activation": chance.choice(["relu", "leaky_relu", "elu", "silu", "tanh", "sigmoid"]),
            "loss": chance.choice(["bce", "weighted_bce", "focal", "mse"]),
            "batch_size": 32,
            "hidden_layers": [64, 32],
        }
        trials.append(TrialSpec(number, params, seed=number, epochs=epochs))
    return trials
