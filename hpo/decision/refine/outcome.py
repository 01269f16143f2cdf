"""What becomes of one parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hpo.spec.space import Domain, Parameter

Fate = Literal["narrowed", "widened", "fixed", "kept", "constant", "left out"]


@dataclass(frozen=True)
class RefinedParameter:
    """A parameter as the refined sweep has it, and why. domain: None where it is left out."""

    before: Parameter
    fate: Fate
    domain: Domain | None
    reasons: Sequence[str] = ()

    @property
    def name(self) -> str:
        return self.before.name

    @property
    def parameter(self) -> Parameter | None:
        return None if self.domain is None else Parameter(self.name, self.domain, self.before.when)
