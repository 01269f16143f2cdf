"""One local Ray for each file of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.support import Place

from hpo.engines.ray.compat import python_of_workers, spare_processes

os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # Ray leaves their files open where it stops everything


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    from tune import trainables

    ray.cloudpickle.register_pickle_by_value(trainables)  # Ray's workers have another sys.path than pytest
    spare_processes()
    ray.init(
        address="local",  # not one that happens to run, nor one that a file of a killed one tells of
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        runtime_env=python_of_workers(),
    )  # fmt: skip
    yield
    ray.shutdown()
