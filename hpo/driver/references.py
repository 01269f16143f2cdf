"""References beside the trials: an idle worker measures them when there is nothing left to hand out.

They never hold a sweep up and never break it: what fails is said in a note, and unless they are asked for by name they
are waited for only a few seconds after the last trial.
"""

from __future__ import annotations

from collections.abc import Callable

from hpo.engines.base import Engine
from hpo.events import Assignment, ReferenceMeasured, ReferenceOrder
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.references import ReferenceRecord, References
from hpo.spec.space import Constant
from hpo.spec.sweep import Sweep
from hpo.standing import Standing, SweepListener

_ASSIGNMENT = -1  # the id of theirs; trials' begin at 0
_PATIENCE = 5.0  # seconds after the last trial in which references that nobody asked for by name must be ready


class ReferenceRun:
    """Has the references of one sweep measured, once in a study."""

    def __init__(
        self,
        sweep: Sweep,
        ledger: Ledger,
        engine: Engine,
        standing: Standing,
        listener: SweepListener,
        clock: Callable[[], float],
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._engine = engine
        self._standing = standing
        self._listener = listener
        self._clock = clock
        self._by_name = isinstance(sweep.references, list)
        self._possible = False  # there are workers
        self._ordered: tuple[str, ...] | None = None
        self._over = False
        self._found: list[ReferenceMeasured] = []
        self._deadline: float | None = None
        standing.references = ledger.references.known()

    def _missing(self) -> tuple[str, ...]:
        known = self._standing.references
        return tuple(n for n in self._sweep.wanted_references if known is None or n not in known.models)

    @property
    def worth_workers(self) -> bool:
        """Whether workers are to be started for them alone: they were asked for by name, and there is a best trial."""
        return self._by_name and self._standing.best is not None and bool(self._missing())

    def begin(self) -> None:
        """Take in that there are workers."""
        self._possible = bool(self._sweep.wanted_references)

    def order(self) -> None:
        """Give them to an idle worker, if there is one and anything to compare them with. Call it when there is nothing
        else to hand out."""
        if not self._possible or self._ordered is not None or self._standing.best is None or not self._engine.idle():
            return
        self._standing.references = self._ledger.references.known(fresh=True)
        self._ordered = self._missing()  # if there are none, only the data is looked at
        params = None
        if self._sweep.metric.name == "val_loss":
            params = {p.name: p.domain.value for p in self._sweep.space.parameters if isinstance(p.domain, Constant)}
        self._engine.submit(
            Assignment(_ASSIGNMENT, (), references=ReferenceOrder(self._ordered, self._by_name, params))
        )

    def take(self, measured: ReferenceMeasured) -> None:
        """Take in what one of them reaches."""
        self._found.append(measured)

    def done(self, assignment: int) -> None:
        """Take in that an assignment is over."""
        self._over = self._over or assignment == _ASSIGNMENT

    @property
    def pending(self) -> bool:
        """Whether a worker still measures them."""
        return self._ordered is not None and not self._over

    def wait(self) -> bool:
        """Whether to wait (on) for them, now that the last trial has ended."""
        if not self._possible or self._over or self._standing.best is None:
            return False
        if self._deadline is None:
            self._deadline = self._clock() + _PATIENCE
        return self._by_name or self._clock() < self._deadline

    def finish(self, interrupted: bool) -> None:
        """Record what was found, and say what was not, unless an interrupt says it."""
        told = [found for found in self._found if found.name]
        known, metric = self._standing.references, self._sweep.metric.name
        if known is not None and any(found.data != known.data for found in self._found):
            self._note(
                "the data is not what it was when this study began: its trials, and the references beside them, "
                "can't be compared with new ones (another name makes a new study: -o name=...)",
                warning=True,
            )
            return
        models = {
            found.name: ReferenceRecord(found.metrics, round(self._clock(), 3), found.says)
            for found in told
            if not found.missing
        }
        if models:
            first = next(found for found in told if not found.missing)
            self._standing.references = self._ledger.references.add(References(first.data, first.kind, models))
        for found in told:
            if found.missing:
                self._note(f"no reference {found.name}: {found.missing}")
        late = [name for name in self._ordered or () if name not in {found.name for found in told}]
        if late and not interrupted:
            why = "the worker ended" if self._over else f"not ready {_PATIENCE:g} s after the last trial"
            self._note(f"no reference {', '.join(late)}: {why} (references: [{', '.join(late)}] waits for it)")
        if models and not any(metric in model.metrics for model in models.values()):
            self._note(f"the references have no {metric} that could be compared with the trials' of this loss")

    def fail(self, error: Exception) -> None:
        """Take in that the engine failed meanwhile."""
        self._over = True
        self._note(f"the references could not be measured: {' '.join(str(error).split())[:300]}", warning=True)

    def _note(self, text: str, warning: bool = False) -> None:
        self._listener.note(text, warning)
