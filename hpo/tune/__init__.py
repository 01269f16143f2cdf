"""Ray Tune with a study behind it: `tune.Tuner(..., tune_config=tune.TuneConfig(search_alg=StudySearcher(...)))`.

Ray Tune 2.60 or newer, below 3. (`import ray` in these modules is the library: imports are absolute.)
"""

from hpo.tune.scheduler import StudyScheduler as StudyScheduler
from hpo.tune.searcher import StudySearcher as StudySearcher

__all__ = ["StudyScheduler", "StudySearcher"]
