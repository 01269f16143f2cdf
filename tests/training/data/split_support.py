"""A table whose rows are split in every way, and how it is split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from hpo.spec.faults import render_fault
from hpo.training.cuts import Cut
from hpo.training.data.csv_check import check_csv
from hpo.training.data.tabular import load_csv
from hpo.training.task import Kind

ROWS = 120


def machine(row: int) -> str:
    return f"m{row * 7 % 20}"


def frame() -> pd.DataFrame:
    """Rows of which `x` is the row's number, in a random order of the file; six a machine, two a day."""
    day = pd.date_range("2023-12-20", periods=ROWS // 2)
    made = pd.DataFrame({
        "x": range(ROWS),
        "machine": [machine(row) for row in range(ROWS)],
        "day": [day[row // 2].strftime("%d.%m.%Y") for row in range(ROWS)],
        "part": [("Train", "TRAINING", "train ", "val", "Dev", "holdout")[row % 6] for row in range(ROWS)],
        "y": ["yes" if row % 5 in (1, 2) else "no" for row in range(ROWS)],
    })  # fmt: skip
    return made.sample(frac=1, random_state=3)


def table(folder: Path, made: pd.DataFrame | None = None, name: str = "t.csv", **keys: Any) -> dict[str, Any]:
    (frame() if made is None else made).to_csv(folder / name, index=False)
    return {"csv": str(folder / name), "target": "y", "scale": False, "features": ["x"], **keys}


def split(data: dict[str, Any], kind: Kind = "binary", cut: Cut | None = None) -> list[list[int]]:
    """Return the rows, by `x`, of train, validation and test."""
    found = load_csv(data, kind, cut)
    return [sorted(part.x[:, 0].int().tolist()) for part in (found.train, found.validation, found.test)]


def faults(data: dict[str, Any], kind: Kind = "binary") -> str:
    return "\n".join(map(render_fault, check_csv(data, kind)))
