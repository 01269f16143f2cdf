"""The spaces that this project and its peers search alike: the sweep file of each, and what a trial of it must log.

`single` is BINARY of ours.py: one batch size, one shape. `course` and `binary` are files of search_spaces/ as they
ship, but for options of the command: nothing is stopped early and nothing is confirmed, as the peers do neither.
`regression` is written here. The peers' side of each is in peers/tasks.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.ours import BINARY, METRICS_AN_EPOCH

REGRESSION = """\
objective: objectives.regression
data: {source: friedman}
metric: {name: val_rmse, goal: minimize}
method: tpe
budget: {trials: 100}
parameters:
  optimizer:     {values: [sgd, adam, adamw]}
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 3e-2}
  weight_decay:  {distribution: log_uniform_values, min: 1e-6, max: 1e-2}
  batch_size:    {values: [32, 64, 128]}
  hidden_layers: {values: [[32], [64, 32], [128, 64]]}
  activation:    {values: [relu, silu, tanh]}
  loss:          {values: [mse, mae, huber]}
  epochs:        {value: 30}
"""


@dataclass(frozen=True)
class Space:
    """A sweep file and what its trials log.

    text: of the sweep file.
    epochs: of a trial.
    metrics: that this project logs in each epoch.
    metric: the sweep's; of an epoch, peers log it, train_loss and val_loss.
    maximize: whether more of it is better.
    """

    name: str
    text: str
    epochs: int = 20
    metrics: int = METRICS_AN_EPOCH
    metric: str = "val_accuracy"
    maximize: bool = True

    @property
    def peer_metrics(self) -> tuple[str, ...]:
        """Return what peers log in each epoch."""
        return "train_loss", "val_loss", self.metric

    def write(self, folder: Path) -> Path:
        """Write the sweep file into a folder; return its path."""
        path = folder / f"{self.name}.yaml"
        path.write_text(self.text)
        return path

    def options(self, trials: int, seed: int, cohort: str = "auto", study: str = "") -> list[str]:
        """Return the options of `hpo sweep` for one run. study: its name, in place of the space's own."""
        keys = {
            "name": study or self.name,
            "budget.trials": trials,
            "seed": seed,
            "engine.cohort": cohort,
            "early_terminate": "none",
        }
        return [*(part for key, value in keys.items() for part in ("-o", f"{key}={value}")), "--no-confirm"]

    def reached(self, value: float, target: float) -> bool:
        """Return whether a value is at the target or beyond."""
        return value >= target if self.maximize else value <= target


def _shipped(name: str) -> str:
    return (ROOT / "search_spaces" / name).read_text()


SPACES = {
    space.name: space
    for space in (
        Space("single", BINARY.format(trials=100, cohort="auto", seed=42, epochs=20)),
        Space("course", _shipped("course/binary_search.yaml")),
        Space("binary", _shipped("binary.yaml")),
        Space("regression", REGRESSION, epochs=30, metrics=10, metric="val_rmse", maximize=False),
    )
}
