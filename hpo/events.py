"""What passes between driver and workers: trials go out in assignments, events come back, decisions answer.

Everything here is plain, immutable, picklable and knows no library: the same words serve threads, processes and Ray.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

WEIGHTS_DIGEST = "weights_digest"  # in a trial's `info`: of the file with its weights, so that no other is taken for it
USER_ATTRS = "user_attrs"  # in a trial's `info`: what its code has set by Optuna's `trial.set_user_attr`
DIVERGED_HEALTH = "health"  # in a trial's `info`: figures of health of the epoch in which it diverged
FILES_ARCHIVE = "files.tar"  # what a trial's code has written into its folder, where it is attached
AFTER_NUMBER = "-"  # in the name of a folder that a trial's code writes into, such as 12-k3jx9d
OUTPUTS_FILE = "test-outputs.npz"  # what a trial's model says of the test rows, where it is attached


class Decision(enum.Enum):
    """The driver's answer to a report."""

    CONTINUE = "continue"
    STOP = "stop"  # the trial ends now and is recorded as pruned
    PAUSE = "pause"  # the trial may keep a checkpoint and end here, to go on later from there; not STOP: it isn't over


class FailureKind(enum.Enum):
    """Why a trial failed. Each kind has a retry rule in the sweep file (`retry`)."""

    ERROR = "error"  # the objective raised, or its program ended with an error
    OUT_OF_MEMORY = "out_of_memory"  # of a GPU or of the host
    TIMEOUT = "timeout"  # it took longer than budget.trial_seconds, or was silent for longer than budget.stall_seconds
    DIED = "died"  # its worker did, by a signal or by exiting
    LOST = "lost"  # its worker went away with its machine, or was out of reach: no fault of the trial


@dataclass(frozen=True)
class DecisionSteps:
    """The steps at which the stopping rule must be asked before training goes on (its rungs).

    A worker waits for the driver only at these; every other report costs no round trip.
    """

    every: bool = False
    steps: frozenset[int] = frozenset()

    def __contains__(self, step: int) -> bool:
        return self.every or step in self.steps


@dataclass(frozen=True)
class WeightsOrder:
    """Where a trial's weights are left when it ends, and from which value on they may be wanted."""

    file: str
    metric: str
    sign: int  # 1: more of the metric is better; -1: less
    bar: float | None = None  # of the metric: what is worse is not wanted; None: all are


@dataclass(frozen=True)
class BestStep:
    """By which metric a trial has its best step, whose weights are its model's. sign: 1: more is better; -1: less."""

    metric: str
    sign: int


@dataclass(frozen=True)
class FilesOrder:
    """What becomes of the files that a function or a program writes into its trial's folder.

    root: the folder with those of all trials, on the driver's disk. keep: of which trials they are wanted. sign, bar:
    as for weights; what is worse than `bar` is not the best.
    """

    root: str
    keep: Literal["best", "all", "none"]
    sign: int
    bar: float | None = None


@dataclass(frozen=True)
class TrialSpec:
    """One trial to train: everything that its numbers depend on, besides the objective and its data."""

    number: int
    params: Mapping[str, Any]  # active hyperparameters only
    seed: int
    epochs: int | None = None  # None: the objective itself knows when it is done
    checkpoint: str = ""  # the file in which a long trial keeps how far it is; "": it keeps nothing
    weights: WeightsOrder | None = None  # None: nobody wants them
    health: bool = False  # whether the health of its training is measured, which changes none of its numbers
    best_step: BestStep | None = None  # whose weights its model is to have; None: the last, or nobody wants a model
    files: FilesOrder | None = None  # None: it has no folder


@dataclass(frozen=True)
class Beside:
    """Trials that train in one stack with another, as they did before, and are not recorded again.

    place: of the other one among them. until: {its index here: the epoch after which it leaves}.
    """

    place: int
    trials: tuple[TrialSpec, ...]
    until: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ReferenceOrder:
    """Models of scikit-learn that a worker fits and measures, in place of trials (hpo/objective/references.py)."""

    names: tuple[str, ...]
    patient: bool = False  # fit them however large the data is
    loss_params: Mapping[str, Any] | None = None  # what all trials share, if the metric is their loss


@dataclass(frozen=True)
class Assignment:
    """What one worker gets at a time: the trials of one cohort (one trial: a cohort of one), or references."""

    id: int
    trials: tuple[TrialSpec, ...]
    decision_steps: DecisionSteps = DecisionSteps()
    stack: bool = True  # train as stacks at all; False: not even the members of one trial
    measured: bool = True  # train several as one stack only where that is faster; False: the user wants a stack
    compile: bool = False  # have torch.compile make a stack's passes
    checkpoint_seconds: float = 60  # of training between two checkpoints of a trial
    beside: Beside | None = None  # what its only trial trains with
    references: ReferenceOrder | None = None  # there are no trials then
    outputs: bool = False  # each trial leaves its model's outputs for the test rows (hpo/objective/outputs.py)


@dataclass(frozen=True)
class Reported:
    """Metrics of one trial at one step (for a Torch task: epochs completed, from 1)."""

    number: int
    step: int
    metrics: Mapping[str, float]
    time: float = 0.0  # seconds since the Unix epoch, set where it was measured


@dataclass(frozen=True)
class Finished:
    """The trial trained to its end. `value` None: the last report of the sweep's metric counts.

    `info` of this and of the other ends goes into the trial's records; `notes` in it, {kind: text}, are told to the
    user, a kind once in a sweep.
    """

    number: int
    value: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stopped:
    """The trial obeyed `Decision.STOP`, or pruned itself.

    by_itself: nobody told it to. What its code calls no good is not the best, whatever it had reported.
    """

    number: int
    info: Mapping[str, Any] = field(default_factory=dict)
    by_itself: bool = False


@dataclass(frozen=True)
class Diverged:
    """Training met a value that is not finite, during epoch `epoch` (from 1), and ended there."""

    number: int
    epoch: int
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """The trial raised, its program exited with an error, it took too long, or its worker died."""

    number: int
    error: str  # one line: type and message
    traceback: str = ""
    kind: FailureKind = FailureKind.ERROR
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Paused:
    """The trial obeyed `Decision.PAUSE`: its checkpoint says how far it came, and it goes on from there later."""

    number: int
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Returned:
    """The worker did not train the trial: here a cohort of its shape holds at most `at_most` trials.

    `at_most` 1: it trains alone; `reason` says why, if not because a stack is slower.
    """

    number: int
    at_most: int
    reason: str = ""


@dataclass(frozen=True)
class AskedParameter:
    """A define-by-run objective asks for a hyperparameter of its trial, and waits for the `Answer`.

    entry: the range or the choices that it names (hpo.spec.written.entry_in_records).
    """

    number: int
    name: str
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """A hyperparameter's value; or why there is none."""

    value: Any = None
    refusal: str = ""


@dataclass(frozen=True)
class ReferenceMeasured:
    """What a reference reaches on the validation split. No trial's event: it goes to the driver by `Channel.refer`."""

    data: str  # the digest of the data
    kind: str = ""  # of the task
    name: str = ""  # "": nothing but the digest is told
    metrics: Mapping[str, float] = field(default_factory=dict)  # as trials report them: val_...
    says: str = ""  # what it always says, if it says the same of every row
    missing: str = ""  # why there are no metrics


@dataclass(frozen=True)
class Unread:
    """What a Torch task does not read of the hyperparameters that its trials get (hpo/objective/unread.py).

    task: its class. certain: it never reads these. unseen: it read these in no configuration that was tried; it may in
    others. without_effect: it takes all at once, and no model that was tried depends on these. own: those of them that
    the task itself describes.
    """

    task: str
    certain: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()


Event = Reported | AskedParameter | Finished | Stopped | Diverged | Failed | Paused | Returned
Response = Decision | Answer  # what the driver says to a trial that waits


def is_last(event: Event) -> bool:
    """Whether an event is the last of its trial in this assignment."""
    return not isinstance(event, Reported | AskedParameter)


class Channel(Protocol):
    """A running assignment's line to the driver."""

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        """Hand over events; return the decision for each trial that reported (CONTINUE unless told otherwise).

        Waits for the driver only if a report's step is one of the assignment's `decision_steps`.
        """
        ...

    def ask(self, asked: AskedParameter) -> Answer:
        """Ask for a hyperparameter, and wait for it. It is in the study when this returns."""
        ...

    def attach(self, number: int, name: str, path: str) -> None:
        """Keep the file at `path` as the artefact `name` of a trial (the file is moved or copied by the driver).

        The file is the only one of a temporary folder, which goes with it.
        """
        ...

    def refer(self, measured: ReferenceMeasured) -> None:
        """Tell what a reference reaches."""
        ...
