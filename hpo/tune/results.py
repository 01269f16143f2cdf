"""What Tune says of a trial, in the words of the records: its metrics, its configuration, its error."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import (
    AUTO_RESULT_KEYS,
    DEBUG_METRICS,
    DONE,
    EPISODES_TOTAL,
    EXPERIMENT_TAG,
    HOSTNAME,
    PID,
    SHOULD_CHECKPOINT,
    TIMESTEPS_TOTAL,
    TRAINING_ITERATION,
)
from ray.tune.schedulers import TrialScheduler

from hpo.driver.results import Outcome, failed
from hpo.events import FailureKind
from hpo.objective.failures import says_memory
from hpo.objective.function import as_number
from hpo.spec.names import clash_fault, name_fault, recorded_name
from hpo.tune.compat import FAILURE_HEADING, HYPERBAND_INFO, limit_of
from hpo.tune.space import SEPARATOR

log = logging.getLogger("hpo.tune")

# Tune's own entries of a result. The totals are only there if the trainable reports them.
_TUNES = {*AUTO_RESULT_KEYS, *DEBUG_METRICS, DONE, EXPERIMENT_TAG, SHOULD_CHECKPOINT, HYPERBAND_INFO}
_TUNES -= {TIMESTEPS_TOTAL, EPISODES_TOTAL}


class Metrics:
    """Takes the metrics out of results. What can't be recorded is left out, which is said once a name."""

    def __init__(self) -> None:
        self._usable: dict[str, bool] = {}  # names
        self._recorded: dict[str, str] = {}  # the metric of each name in MLflow
        self._odd: set[str] = set()  # metrics of which a value was no number

    def of(self, result: Mapping[str, Any]) -> dict[str, float]:
        """Return the numbers of a flat result; NaN and inf among them."""
        metrics = {}
        for name, value in result.items():
            if self._is_usable(name) and value is not None:
                try:
                    metrics[name] = float(value) if isinstance(value, bool) else as_number(name, value)
                except TypeError:
                    self._say(name, value)
        return metrics

    def _is_usable(self, name: str) -> bool:
        known = self._usable.get(name)
        if known is None:
            known = self._usable[name] = name.partition(SEPARATOR)[0] not in _TUNES and self._judge(name)
        return known

    def _judge(self, name: str) -> bool:
        earlier = self._recorded.setdefault(recorded_name(name), name)
        fault = name_fault(name) or (clash_fault(name, earlier) if earlier != name else "")
        if fault:
            log.warning("a metric is not recorded: %s", fault)
        return not fault

    def _say(self, name: str, value: Any) -> None:
        if name not in self._odd:
            self._odd.add(name)
            log.warning("%s is no number (%s), so it is not recorded", name, type(value).__name__)


def step_of(result: Mapping[str, Any]) -> int:
    """Return the step of a result: Tune's count of reports, from 1, which goes on after a checkpoint."""
    return int(result[TRAINING_ITERATION])


def facts_of(trial: Trial) -> dict[str, Any]:
    """Return what is recorded of where a trial ran."""
    last = trial.last_result or {}
    facts = {"host": last.get(HOSTNAME), "pid": last.get(PID), "tune_trial": trial.trial_id}
    return {key: value for key, value in facts.items() if value is not None}


def failure_of(trial: Trial) -> Outcome:
    """Return the outcome of a trial that failed: its error ("Type: message"), its traceback and the kind of failure.

    It is read as text from the file that Tune has just written beside the trial.
    """
    path = Path(trial.error_file) if trial.error_file else None
    text = path.read_text(errors="backslashreplace") if path is not None and path.is_file() else ""
    text = text[text.rfind(FAILURE_HEADING) :].partition("\n")[2].strip()
    error = _error_line(text) or "the trial failed, and Tune does not say why"
    died = re.match(r"(The|Worker|Owner|\w*Actor\w*Error|\w*Worker\w*Error)\b", error) and "File " not in text
    kind = FailureKind.DIED if died else FailureKind.OUT_OF_MEMORY if says_memory(error) else FailureKind.ERROR
    return failed(error[:500], text, kind)


def _error_line(text: str) -> str:
    """Return the line that says which error it was: the first one after the frames of the last traceback."""
    lines = text.splitlines()
    frames = [index for index, line in enumerate(lines) if re.match(r"\s+File \"", line)]
    after = lines[frames[-1] :] if frames else lines
    return next((line.strip() for line in after if line.strip() and (not frames or not line[0].isspace())), "")


def at_the_end(schedulers: Iterable[TrialScheduler], result: Mapping[str, Any]) -> bool:
    """Whether a trial that a scheduler stops has come as far as that scheduler lets any trial come (its max_t): such a
    trial is complete."""
    for scheduler in schedulers:
        counted, longest = limit_of(scheduler)
        if result.get(counted, -math.inf) >= longest:
            return True
    return False
