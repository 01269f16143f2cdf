"""What a trained model says of the test rows, left in a file for the end of a confirmation.

Only the rows' features are here, never their targets: what is left can't be measured by whoever trains.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.events import (
    OUTPUTS_FILE,
    Answer,
    AskedParameter,
    Channel,
    Decision,
    Diverged,
    Event,
    Finished,
    ReferenceMeasured,
)
from hpo.lazy import lazy_import
from hpo.objective.failures import RAISED, ending_of
from hpo.training.epochs import Trainee
from hpo.training.evaluation import predict
from hpo.training.run import Run

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
else:
    np = lazy_import("numpy")


def digest_of_rows(x: Tensor) -> str:
    """Return a text that is the same for the same rows of features, and no others."""
    digest = hashlib.sha256(f"{tuple(x.shape)} {x.dtype}".encode())
    digest.update(x.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


class LeavingOutputs:
    """Another channel (hpo.events.Channel), to which each trial that is trained to its end leaves its outputs first.

    The file has, as NumPy writes arrays: `outputs`, float32 [rows] or [rows, classes], the model's raw ones, of which
    the loss is taken; `values`, of the same shape, what they say: in the target's own units, or as logits (where they
    are not the same); `threshold`, of two classes: the probability above which a row is of class 1; and `rows`, the
    digest of the test rows.
    """

    def __init__(self, channel: Channel, x: Callable[[], Tensor]) -> None:
        """x: returns the features of the test rows, on the device that trains."""
        self._channel = channel
        self._x = x
        self._runs: dict[int, tuple[Run, Trainee | None]] = {}

    def trains(self, run: Run, within: Trainee | None = None) -> None:
        """Take in which run trains a trial; of several members the first.

        within: what has its weights while it trains; None: its own model.
        """
        self._runs[run.trial.number] = run, within

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        return self._channel.exchange([self._left(event) if isinstance(event, Finished) else event for event in events])

    def ask(self, asked: AskedParameter) -> Answer:
        return self._channel.ask(asked)

    def attach(self, number: int, name: str, path: str) -> None:
        self._channel.attach(number, name, path)

    def refer(self, measured: ReferenceMeasured) -> None:
        self._channel.refer(measured)

    def _left(self, event: Finished) -> Event:
        """Leave the outputs of a trial; return how it ends."""
        run, within = self._runs.pop(event.number)
        try:
            if within is not None:
                within.settle(run)
            run.take_best()
            x = self._x()
            outputs = predict(run.task, run.model, x, run.params)
            if not outputs.isfinite().all():
                return Diverged(event.number, run.epochs, event.info)
            arrays = {"outputs": outputs.cpu().numpy(), "rows": np.array(digest_of_rows(x))}
            if run.task.kind == "regression" or run.data.units.activation is not None:
                arrays["values"] = run.data.units.answer(outputs).cpu().numpy()
            if run.task.kind == "binary":
                arrays["threshold"] = np.array(run.threshold.probability)
            path = Path(tempfile.mkdtemp(prefix="hpo-output-"), OUTPUTS_FILE)
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except RAISED as error:
            return ending_of(event.number, error)
        self._channel.attach(event.number, OUTPUTS_FILE, str(path))
        return event
