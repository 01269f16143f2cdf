"""All stopping rules. A new one is a module beside this one, and its keys in RULES."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hpo.stopping.asha import AshaKeys
from hpo.stopping.base import StoppingKeys
from hpo.stopping.hyperband import HyperbandKeys
from hpo.stopping.none import NoStopKeys
from hpo.stopping.patience import PatienceKeys
from hpo.stopping.percentile import MedianKeys, PercentileKeys

RULES: tuple[type[StoppingKeys], ...] = (NoStopKeys, AshaKeys, HyperbandKeys, MedianKeys, PercentileKeys, PatienceKeys)

if TYPE_CHECKING:
    EarlyTerminate = StoppingKeys
else:  # what `early_terminate` of a sweep file may be: `type` says which
    EarlyTerminate = Annotated[reduce(or_, RULES), Field(discriminator="type")]
