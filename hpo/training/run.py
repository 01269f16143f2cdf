"""One trial that trains, or one of its members: its model, data, loss, optimizer, schedule, generators, reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpo.events import Reported, TrialSpec
from hpo.lazy import lazy_import
from hpo.training.contract import contract_of, with_defaults
from hpo.training.evaluation import Units, to_device
from hpo.training.members import ALONE, Member
from hpo.training.penalty import L1Penalty, l1_penalty
from hpo.training.seeding import Streams, global_seed, streams
from hpo.training.task import Split, Splits, TorchTask
from hpo.training.vocabulary.initializers import INITIALIZERS, initialize
from hpo.training.vocabulary.labels import RowWeights, row_weights
from hpo.training.vocabulary.losses import Bound, LossChoice, answers, bind_loss, makes_probabilities
from hpo.training.vocabulary.optimizers import make_optimizer, optimizer_defaults
from hpo.training.vocabulary.schedules import Progress, ScheduleChoice, make_schedule
from hpo.training.vocabulary.targets import PreparedTargets, prepare_targets
from hpo.training.vocabulary.thresholds import Threshold, threshold_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")


class NotFinite(Exception):
    """A loss or an output was NaN or infinite."""


@dataclass(frozen=True)
class RunData:
    """The rows that a trial trains on and is measured on, on its device."""

    train: Split  # targets on the model's scale
    validation: Split  # likewise
    classes: int  # 1 for binary and regression
    units: Units
    whole_x: Tensor  # the rows of the training split before outliers were dropped
    kept_rows: Tensor | None  # which of them `train` has; None: all
    weights: RowWeights | None = None  # of the rows of `train`; None: all count alike


@dataclass(frozen=True)
class Batching:
    """How the training split is cut into batches.

    skip_single: a last batch of one row is left out. parts: in which a batch goes through the model, its gradients
    added up; more take less memory.
    """

    size: int
    skip_single: bool
    per_epoch: int
    parts: int = 1


@dataclass(frozen=True)
class Rates:
    """Where a trial's learning rates come from."""

    optimizer_defaults: Mapping[str, Any]
    schedule: ScheduleChoice
    factor: Callable[[Progress], float]


@dataclass(frozen=True)
class BestEpoch:
    """A run's model as it was after the best epoch so far. value: of the metric that its trial's best step goes by."""

    epoch: int
    value: float
    threshold: float
    model: Mapping[str, Tensor]  # its state_dict


@dataclass(eq=False)
class Run:
    """One trial, or one of its members, ready to train: `model` holds its current weights, also after training."""

    task: TorchTask
    trial: TrialSpec
    params: Mapping[str, Any]  # the trial's own and the defaults
    device: torch.device
    streams: Streams
    data: RunData
    model: nn.Module
    loss_choice: tuple[LossChoice, Bound]
    rates: Rates
    epochs: int
    batching: Batching
    threshold: Threshold
    member: Member = ALONE  # which of its trial's trainings this is
    reports: list[Reported] = field(default_factory=list)  # of the completed epochs, as the trial made them
    best: BestEpoch | None = None  # of a trial's first member, where the trial's model is to be that of its best step

    @cached_property
    def validation_losses(self) -> list[float]:
        """Of the completed epochs, its own."""
        return [report.metrics[self.member.own("val_loss")] for report in self.reports]

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """The plain loop's; a stack has its own, for all of its members."""
        return make_optimizer(self.params, self.model.parameters())

    @cached_property
    def penalty(self) -> L1Penalty | None:
        """The plain loop's L1 penalty; None: there is none."""
        return L1Penalty(self.model, size) if (size := l1_penalty(self.params)) else None

    @property
    def seed(self) -> int:
        """What all its chance comes from: the trial's own seed, unless it is a further member."""
        return self.member.seed(self.trial.seed)

    @property
    def train(self) -> Split:
        return self.data.train

    @property
    def validation(self) -> Split:
        return self.data.validation

    @property
    def batch_size(self) -> int:
        return self.batching.size

    @property
    def steps_per_epoch(self) -> int:
        return self.batching.per_epoch

    def in_parts(self, parts: int) -> None:
        """Have each batch go through the model in so many parts, from the first step on."""
        self.batching = replace(self.batching, parts=parts)

    def drop_optimizer(self) -> None:
        """Free what the plain loop's optimizer holds: a stack has taken it over."""
        vars(self).pop("optimizer", None)

    @property
    def completed(self) -> int:
        """Epochs that are trained and measured."""
        return len(self.validation_losses)

    def record(self, report: Reported) -> None:
        """Take in that an epoch is completed."""
        self.validation_losses.append(report.metrics[self.member.own("val_loss")])
        self.reports.append(report)
        if self.threshold.is_chosen:
            self.threshold.probability = report.metrics[self.member.own("val_threshold")]

    def take_best(self) -> None:
        """Give the model the weights, and the threshold, of the best epoch, if these are kept. For the end: training
        can't go on from there."""
        if self.best is not None:
            self.model.load_state_dict(self.best.model)
            self.threshold.probability = self.best.threshold

    @property
    def learning_rate(self) -> float:
        """The learning rate before the schedule."""
        return float(self.rates.optimizer_defaults["lr"])

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean loss of a batch. weights: of its rows, by which their losses are multiplied."""
        choice, bound = self.loss_choice
        losses = choice.function(outputs, targets, **bound)
        return (losses if weights is None else losses * weights).mean()

    def rate(self, step: int) -> float:
        """Return the schedule's learning rate of a step, from 0 over all epochs."""
        at = Progress(step, self.epochs * self.steps_per_epoch, self.steps_per_epoch, self.validation_losses)
        return self.learning_rate * self.rates.factor(at)


def start(
    task: TorchTask,
    splits: Splits,
    trial: TrialSpec,
    device: torch.device,
    prepare: Callable[[Split, Mapping[str, Any]], PreparedTargets] = prepare_targets,
    member: Member = ALONE,
) -> Run:
    """Return the trial before its first step: weights drawn, targets prepared, optimizer made. Arguments as `train`.

    prepare: treats a regression's targets; a cohort gives one that remembers.
    member: the one of the trial's trainings that is meant; `splits` are its own.
    """
    from hpo.training.layers import seed_dropout  # loads Torch

    params = with_defaults(contract_of(task), trial.params)
    epochs = int(params.get("epochs", 20) if trial.epochs is None else trial.epochs)
    seed = member.seed(trial.seed)
    params |= {"epochs": epochs, "seed": seed}
    training, validation = to_device(splits.train, device), to_device(splits.validation, device)
    activation = answers(task.kind, params)
    units = Units(activation=activation, probable=makes_probabilities(task.kind, params))
    kept_rows, whole_x = None, training.x
    if task.kind == "regression":
        prepared = prepare(training, params)
        training, kept_rows = prepared.train, prepared.rows
        units = replace(units, forward=prepared.forward, inverse=prepared.inverse, transform=prepared.transform)
        validation = Split(validation.x, units.forward(validation.y))
    weights = row_weights(task.kind, training, params)
    random = streams(seed, device)
    model = build_model(task, params, training.x.shape[1:], splits.outputs, random)
    if device.type != "cpu":
        model = model.to(device)
    seed_dropout(model, random.noise)
    schedule, factor = make_schedule(params)
    batch_size, skip_single = int(params.get("batch_size", 32)), has_batch_norm(model)
    return Run(
        task=task,
        trial=trial,
        params=params,
        device=device,
        streams=random,
        data=RunData(training, validation, splits.outputs, units, whole_x, kept_rows, weights),
        model=model,
        loss_choice=bind_loss(task.kind, params, training, splits.outputs),
        rates=Rates(optimizer_defaults(params), schedule, factor),
        epochs=epochs,
        batching=Batching(batch_size, skip_single, steps_in_epoch(len(training), batch_size, skip_single)),
        threshold=threshold_of(task.kind, params),
        member=member,
    )


def build_model(
    task: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int, random: Streams
) -> nn.Module:
    """Return the task's model on the CPU, its first weights drawn from `random.weights` alone."""
    with global_seed(random.weights.initial_seed(), torch.device("cpu")):  # for layers the initializer leaves alone
        model = task.model(params, features, outputs)
    name, scale = params.get("initializer", INITIALIZERS.default), float(params.get("init_scale", 1.0))
    initialize(model, name, random.weights, scale)
    return model


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether the model normalizes over the batch while training."""
    return any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules())


def steps_in_epoch(rows: int, batch_size: int, skip_single: bool) -> int:
    """Return how many batches `draw_batches` makes."""
    full, rest = divmod(rows, batch_size)
    return full + (rest > (1 if skip_single and full else 0))
