"""The search methods by the names that sweep files use. A new one is one entry in METHODS.

A method's sampler is named here and loaded when it is needed: checking a sweep file takes no Optuna.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hpo.spec.census import census_of
from hpo.spec.faults import Fault
from hpo.spec.space import Range, Space

STARTUP_TRIALS = 10  # random trials before a model is fitted (Optuna's default for TPE and GP)


def _any_space(space: Space) -> Iterable[Fault]:
    return ()


@dataclass(frozen=True)
class SearchMethod:
    """How configurations are proposed.

    sampler: `module:class` of a sampler of Optuna's kind; it is given `seed`, what it `takes`, and `options`.
    takes: "space" (the search space), "independent_sampler" (one that draws what it does not model itself), or "".
    looks_at: states of the ended trials that the sampler learns from; a trial in another state is forgotten as it ends.
    most: ended trials that it can afford to look at; None: all.
    learns: whether it proposes better the more trials it has seen the end of; so few of them are open at a time.
    by_shape: whether it draws as well for given values of some parameters; so trials that train together are asked for
    together, all of one shape.
    objections: what is wrong with searching a space by it, at the key `method`.
    """

    sampler: str
    takes: Literal["space", "independent_sampler", ""] = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    looks_at: tuple[Literal["COMPLETE", "PRUNED"], ...] = ()
    most: int | None = None
    learns: bool = True
    by_shape: bool = False
    objections: Callable[[Space], Iterable[Fault]] = _any_space


def _no_grid(space: Space) -> Iterable[Fault]:
    endless = [parameter.name for parameter in space.parameters if parameter.domain.count() is None]
    for name in endless:
        yield Fault(
            f"a grid needs countable values, but {name} is a range of real numbers",
            ("method",),
            remedy=f"give {name} 'values' or a step 'q', or use method: qmc",
        )
    if not endless and census_of(space) is None:
        message = "'when' and 'forbid' tie too many parameters together for a grid to be worked out"
        yield Fault(message, ("method",), remedy="use method: random, or fewer clauses")


def _without_numbers(space: Space) -> Iterable[Fault]:
    if not any(isinstance(parameter.domain, Range) for parameter in space.searched()):
        yield Fault("cmaes searches numbers, but every parameter is a choice", ("method",), remedy="use method: tpe")


# TPE and GP would take ever longer with all trials. CMA-ES and NSGA-II keep their generations in attributes of trials,
# of any age, and hardly slow down: they keep their complete trials. QMC and random search look at none, but QMC counts
# its trials itself and takes its space from the first. The searcher itself hands over a grid's configurations.
METHODS: dict[str, SearchMethod] = {
    "random": SearchMethod("hpo.search.samplers:WeightedRandomSampler", "space", learns=False),
    "grid": SearchMethod("hpo.search.samplers:WeightedRandomSampler", "space", learns=False, objections=_no_grid),
    "tpe": SearchMethod(
        "hpo.search.tpe:SharingTPESampler", "space", looks_at=("COMPLETE", "PRUNED"), most=300, by_shape=True
    ),
    "gp": SearchMethod(
        "optuna.samplers:GPSampler",
        "independent_sampler",
        {"n_startup_trials": STARTUP_TRIALS, "warn_independent_sampling": False},
        looks_at=("COMPLETE",),
        most=200,
    ),
    "cmaes": SearchMethod(
        "hpo.search.resuming:ResumingCmaEsSampler",
        "independent_sampler",
        {"warn_independent_sampling": False},
        looks_at=("COMPLETE",),
        objections=_without_numbers,
    ),
    "nsga2": SearchMethod("optuna.samplers:NSGAIISampler", looks_at=("COMPLETE",)),
    "qmc": SearchMethod(
        "optuna.samplers:QMCSampler",
        "independent_sampler",
        {"scramble": True, "warn_independent_sampling": False},
        looks_at=("COMPLETE", "PRUNED"),
        learns=False,
    ),
}

UNGUIDED = ("random", "grid", "qmc")  # they propose the same whatever the metric is
ALIASES = {"bayes": "tpe"}  # W&B's word

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[(*METHODS, *ALIASES)]
