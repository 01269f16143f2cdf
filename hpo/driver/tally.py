"""Keeps the standing of a sweep: how many trials ended how, and which is the best."""

from __future__ import annotations

from typing import Any

from hpo.diagnosis.words import count
from hpo.driver.breaker import without_numbers
from hpo.ledger.study.records import TrialRecord, best_first
from hpo.spec.conditions import same_params
from hpo.spec.space import show
from hpo.spec.sweep import Sweep
from hpo.standing import MOST_LEADERS, Standing


class Tally:
    """Counts and ranks trials in a Standing."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self.standing = Standing(sweep.name, sweep.metric.name, sweep.metric.goal, sweep.budget.trials)

    def take(self, record: TrialRecord) -> bool:
        """Take in an ended trial; return whether it is the best so far."""
        self._count(record)
        return self._rank(record)

    def _count(self, record: TrialRecord) -> None:
        standing = self.standing
        if record.interrupted:
            return  # it is run again: neither a result nor a failure of the objective
        standing.counts.complete += record.state == "complete"
        standing.counts.pruned += record.state == "pruned"
        standing.counts.failed += record.state == "failed"
        standing.counts.diagnoses += count([record.diagnoses])
        standing.counts.diverged += record.diverged is not None
        if record.state == "failed":
            standing.counts.errors[without_numbers(record.error)] += 1

    def _rank(self, record: TrialRecord) -> bool:
        standing = self.standing
        if not record.ranks or record.value is None:
            return False
        can_be = record.state == "complete" and bool(self._sweep.baselines)
        is_baseline = can_be and same_params(record.params, self._sweep.baselines[0])
        if is_baseline and (standing.baseline is None or record.number < standing.baseline.number):
            standing.baseline = record
        before, leaders = standing.best, standing.leaders
        # The earlier of equals is first, whichever ended first, as for `hpo best`.
        leaders.top = best_first([*leaders.top, record], self._sweep.metric.goal)[:MOST_LEADERS]
        improved = before is None or before.value is None or self._sweep.metric.better(record.value, before.value)
        if improved:
            leaders.course.append((standing.done, record.value))
        return improved

    def summary(self, seconds: float) -> dict[str, Any]:
        """Return what MLflow's parent run says of the sweep in the end. seconds: of all the times that it was run."""
        standing = self.standing
        summary: dict[str, Any] = {
            "trials_complete": standing.counts.complete,
            "trials_pruned": standing.counts.pruned,
            "trials_failed": standing.counts.failed,
            "trials_diverged": standing.counts.diverged,
            "sweep_seconds": round(seconds, 3),
            "ended_by": standing.reason or "the budget",
            "outcome": self._outcome(),
            "top": [(record.number, record.value, dict(record.params)) for record in standing.leaders.top],
        }
        if standing.best is not None:
            summary["best_trial"] = standing.best.number
        if standing.baseline is not None and standing.baseline.value is not None:
            summary[f"baseline_{standing.metric}"] = standing.baseline.value
        return summary

    def _outcome(self) -> str:
        """Return the outcome in words, for the parent run's page."""
        standing, best = self.standing, self.standing.best
        text = f"{standing.counts.complete} complete, {standing.counts.pruned} pruned, {standing.counts.failed} failed"
        if best is None:
            return f"{text}; no trial finished"
        listed = ", ".join(f"{name}={show(value)}" for name, value in best.params.items())
        return f"{text}; best {standing.metric} {show(best.value)} in trial {best.number}: {listed}"
