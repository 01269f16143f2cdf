"""The hyperparameters and the state of members that share an optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.upload import upload

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

    def rest(self, name: str) -> float | Tensor:
        """Return 1 - a hyperparameter as a column; taken in float64, where 1 - 0.999 keeps its digits."""
        key = f"1 - {name}"
        if key not in self._columns:
            self._columns[key] = self.column([1 - value for value in self.values(name)])
        return self._columns[key]

    @property
    def down(self) -> float | Tensor:
        """The negative learning rates as a column."""
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
