"""The hyperparameters and the state of members that share an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.upload import upload
from hpo.training.vocabulary.timetable import Timetable

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


class Hyper:
    """Hyperparameters, step counts and state of k members that share an optimizer.

    `state` has the names of torch.optim's; where a member's numbers are one for each weight, they are a row [P].
    """

    def __init__(self, defaults: Sequence[Mapping[str, Any]], flat: Tensor) -> None:
        """defaults: each member's torch.optim.Optimizer.defaults. flat: parameters [.., P] of a stack they are in."""
        self.defaults = [dict(each) for each in defaults]
        self.steps = [0] * len(self.defaults)  # taken by each member, this one included
        self.learning_rates = [float(each["lr"]) for each in self.defaults]
        self.state: dict[str, Tensor] = {}  # [k, P]; or, of one number a member, [k, 1]
        self._like = flat.new_empty(0)
        self._size = flat.shape[1]
        self._columns: dict[str, float | Tensor] = {}
        self._timetable: Timetable | None = None  # None: `steps` and `learning_rates` say where training is
        self._planned: dict[str, Tensor] = {}  # the members' numbers at each step of the epoch, [steps, k]
        self._products: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {}  # how states are multiplied

    def values(self, name: str) -> list[float]:
        """Return a hyperparameter of every member; `beta1` and `beta2` are the two of `betas`."""
        if name in ("beta1", "beta2"):
            return [float(each["betas"][name == "beta2"]) for each in self.defaults]
        return [float(each[name]) for each in self.defaults]

    def __getitem__(self, name: str) -> float | Tensor:
        """Return a hyperparameter as a column."""
        if name not in self._columns:
            self._columns[name] = self.column(self.values(name))
        return self._columns[name]

    def column(self, values: Sequence[float]) -> float | Tensor:
        """Return one number a member as [k, 1]; as a float if they are all the same."""
        if all(value == values[0] for value in values):
            return values[0]
        return upload(values, self._like.device, self._like.dtype).unsqueeze(1)

    def each(self, formula: Callable[..., Any], *names: str) -> float | Tensor:
        """Return a formula's value for every member, as a column.

        formula: a function at the top of its module, of floats, or of tensors of the same. names: of its arguments:
        hyperparameters, `lr`, `step`, or a number of the members' state.
        """
        if self._timetable is None:
            return self.column([formula(*each) for each in zip(*map(self._numbers, names), strict=True)])
        return self._timetable.column((id(self), formula), lambda: formula(*map(self._plan, names)))

    def multiply(self, name: str, formula: Callable[..., Any], *names: str) -> None:
        """Multiply a state of one number a member by a formula's value, at each step."""
        if self._timetable is None:
            factors = [formula(*each) for each in zip(*map(self._numbers, names), strict=True)]
            self.number(name).mul_(torch.tensor(factors).unsqueeze(1))
        else:
            self.number(name)
            self._products[name] = formula, names

    def _numbers(self, name: str) -> list[float]:
        if name == "lr":
            return self.learning_rates
        if name == "step":
            return self.steps  # type: ignore[return-value]
        if name in self.state:  # one number a member
            return [float(value) for value in self.state[name].flatten().tolist()]
        return self.values(name)

    def _plan(self, name: str) -> Tensor:
        if name not in self._planned and name in self._products:
            formula, names = self._products[name]
            products = formula(*map(self._plan, names)).cumprod(0)
            self._planned[name] = products * self.number(name).double().flatten()
        elif name not in self._planned:
            self._planned[name] = torch.tensor(self.values(name), dtype=torch.float64)
        return self._planned[name]

    @property
    def planned(self) -> bool:
        """Whether a timetable says where training is, in place of `steps` and `learning_rates`."""
        return self._timetable is not None

    def plan(self, timetable: Timetable, rates: Tensor) -> None:
        """Let the timetable say where training is, until `took`. rates: [steps, k] of the epoch that begins, float64,
        on the host."""
        ahead = torch.arange(1, len(rates) + 1, dtype=torch.float64)[:, None]
        self._timetable = timetable
        self._planned = {"lr": rates, "step": torch.tensor(self.steps, dtype=torch.float64) + ahead}

    def took(self, count: int) -> None:
        """Take in how many of the planned steps were taken."""
        if count:
            self.steps = [step + count for step in self.steps]
            self.set_learning_rates(self._planned["lr"][count - 1].tolist())
            for name in self._products:
                self.number(name).copy_(self._plan(name)[count - 1].unsqueeze(1))
        self._timetable, self._planned = None, {}

    def rest(self, name: str) -> float | Tensor:
        """Return 1 - a hyperparameter as a column; taken in float64, where 1 - 0.999 keeps its digits."""
        key = f"1 - {name}"
        if key not in self._columns:
            self._columns[key] = self.column([1 - value for value in self.values(name)])
        return self._columns[key]

    @property
    def down(self) -> float | Tensor:
        """The negative learning rates as a column."""
        if self._timetable is not None:
            return self.each(_negative, "lr")
        if "down" not in self._columns:
            self._columns["down"] = self.column([-rate for rate in self.learning_rates])
        return self._columns["down"]

    def set_learning_rates(self, rates: Sequence[float]) -> None:
        if self.learning_rates != (rates := list(rates)):
            self.learning_rates = rates
            self._columns.pop("down", None)

    def moment(self, name: str) -> Tensor:
        """Return a state tensor [k, P], zeros at first."""
        if name not in self.state:
            self.state[name] = self._like.new_zeros(len(self.steps), self._size)
        return self.state[name]

    def number(self, name: str) -> Tensor:
        """Return a state of one number a member, [k, 1], ones at first; on the host."""
        if name not in self.state:
            self.state[name] = torch.ones(len(self.steps), 1)
        return self.state[name]

    def select(self, rows: list[int]) -> None:
        """Keep only the members in these rows."""
        self.defaults = [self.defaults[row] for row in rows]
        self.steps = [self.steps[row] for row in rows]
        self.learning_rates = [self.learning_rates[row] for row in rows]
        self.state = {name: tensor[rows] for name, tensor in self.state.items()}
        self._columns = {}


def _negative(value: Any) -> Any:
    return -value
