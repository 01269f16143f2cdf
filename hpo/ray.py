"""The old name of `hpo.tune`, for one release."""

import sys
import warnings

import hpo.tune.scheduler
import hpo.tune.searcher
from hpo.tune import StudyScheduler as StudyScheduler
from hpo.tune import StudySearcher as StudySearcher

__all__ = ["StudyScheduler", "StudySearcher"]

warnings.warn("hpo.ray is now hpo.tune, and will be gone in the release after 0.1", FutureWarning, stacklevel=2)

# What an experiment of Tune's has pickled names these.
sys.modules |= {"hpo.ray.scheduler": hpo.tune.scheduler, "hpo.ray.searcher": hpo.tune.searcher}
