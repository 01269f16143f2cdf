"""`hpo.ray`, the name that `hpo.tune` had."""

import subprocess
import sys

SCRIPT = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from hpo.ray import StudyScheduler, StudySearcher
import hpo.tune
assert StudySearcher is hpo.tune.StudySearcher and StudyScheduler is hpo.tune.StudyScheduler
print([str(each.message) for each in told if each.category is FutureWarning])
"""
PICKLED = b"chpo.ray.searcher\nStudySearcher\n."  # as a searcher's class stands in Tune's experiments


def test_the_old_name_works_with_a_warning() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
    assert "hpo.ray is now hpo.tune" in told


def test_what_was_pickled_under_the_old_name_is_found() -> None:
    script = f"import pickle, hpo.tune; assert pickle.loads({PICKLED!r}) is hpo.tune.StudySearcher"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
