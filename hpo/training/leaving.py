"""What a trial leaves behind when it ends: its weights, in a file that is there whole or not at all.

They are the plain loop's state_dict, read again as plain tensors (torch.load with weights_only), whether the trial
trained alone or in a stack. Who has ordered them decides whether they are kept (hpo/ledger/kept.py).

They are those of the step that has the trial's value: of the last one, or of the best, which is held in memory from
there to the trial's end. Weights of another step than that are never left.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.events import WEIGHTS_DIGEST, BestStep, Reported, WeightsOrder
from hpo.files import digest_of
from hpo.lazy import lazy_import
from hpo.training.checkpoint import differences, identity, write_tensors
from hpo.training.run import BestEpoch

if TYPE_CHECKING:
    import torch

    from hpo.training.run import Run
else:
    torch = lazy_import("torch")


_OWN = ("seed", "params", "epochs", "rows")  # what weights have in common with their trial, wherever it trained
_NOT_HELD = (
    "were not held before it went on from a checkpoint, since fewer models were kept then (hpo model trains it again)"
)


def hold_best(run: Run, settle: Callable[[Run], None]) -> None:
    """Take in that a trial's first member has completed an epoch: if it is the trial's best so far, and the model is to
    be that of the best, keep a copy of the weights, where they are.

    settle: gives the run's model the weights that it has by now.
    """
    wanted, order, report = run.trial.best_step, run.trial.weights, run.reports[-1]
    value = None if wanted is None else report.metrics.get(wanted.metric)
    if wanted is None or value is None:
        return
    if run.best is not None and wanted.sign * value <= wanted.sign * run.best.value:
        return
    if order is not None and is_below(order, value):
        return
    if best_report(run, wanted) is not report:
        return  # an earlier epoch is the best: it was below the bar that stood before a pause, so it was not held
    settle(run)
    weights = {name: tensor.detach().clone() for name, tensor in run.model.state_dict().items()}
    run.best = BestEpoch(report.step, value, run.threshold.probability, weights)


def best_report(run: Run, wanted: BestStep) -> Reported | None:
    """Return the report of a run's best step so far, the first of equal ones; None if none has the metric."""
    having = [report for report in run.reports if wanted.metric in report.metrics]
    return max(having, key=lambda report: wanted.sign * report.metrics[wanted.metric], default=None)


def is_below(order: WeightsOrder, value: float) -> bool:
    """Whether nobody wants the weights that reach a value."""
    return order.bar is not None and order.sign * value < order.sign * order.bar


def leave_weights(run: Run) -> dict[str, Any]:
    """Write the weights of a run's model as its trial orders it, if they may be wanted.

    Returns what the trial's end says of them.

    A full disk does not end the trial: the user is told. Likewise where the best epoch was not held, since the bar was
    higher when the trial was begun.
    """
    order, wanted = run.trial.weights, run.trial.best_step
    counted = run.reports[-1] if run.reports else None
    if wanted is not None:
        counted = best_report(run, wanted)
    if order is None or counted is None or order.metric not in counted.metrics:
        return {}
    if is_below(order, counted.metrics[order.metric]):
        return {}
    if wanted is not None and (run.best is None or run.best.epoch != counted.step):
        return {"notes": {"weights": f"the weights of its best epoch, {counted.step}, {_NOT_HELD}"}}
    run.take_best()
    file = Path(order.file)
    kept = {
        "trial": identity(run),
        "threshold": run.threshold.probability,
        "model": {name: tensor.detach().cpu() for name, tensor in run.model.state_dict().items()},
    }
    if fault := write_tensors(kept, file):
        return {"notes": {"weights": f"its weights can't be kept in {file.parent}: {fault}"}}
    return {WEIGHTS_DIGEST: digest_of(file)}


def take_weights(run: Run, file: Path) -> None:
    """Give a run that was started the weights that its trial left, and the threshold that stood then.

    Raises ValueError if they are another trial's, or of other data; what torch.load raises passes.
    """
    kept = torch.load(file, map_location="cpu", weights_only=True)
    if differs := [key for key in _OWN if key in differences(kept["trial"], run)]:
        raise ValueError(f"they were left by a trial with another {', '.join(differs)}")
    run.model.load_state_dict(kept["model"])
    run.threshold.probability = kept.get("threshold", run.threshold.probability)  # which earlier releases did not have
