"""StudySearcher: a search algorithm for Ray Tune whose trials are those of a study."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from hpo.driver.recorder import NoTrial, Recorder, open_recorder
from hpo.ledger.study.home import make_home
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep, failures_borne
from hpo.tune.compat import find_controller
from hpo.tune.session import Session
from hpo.tune.sweep import MANY, build_sweep, check_goal, wanted, with_parameters

log = logging.getLogger("hpo.tune")


class StudySearcher(Searcher):
    """Proposes what a study's sampler proposes, and records each trial in the study and in MLflow, as `hpo sweep` does.

    For `tune.TuneConfig(search_alg=...)`, with any trainable and with any scheduler but population based training.
    Construct it anew on the same study to go on with it: what an earlier process left is settled, its interrupted
    trials are run again first, baselines are tried once, and the budget counts what is there.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        home: str | Path | None = None,
        storage: str | None = None,
        seed_key: str = "",
        **keys: Any,
    ) -> None:
        """file: a sweep file. keys: keys of a sweep file, over those of the file: `name` and `metric` at least, and
        `parameters` (in the file's grammar, or a search space of Tune's, or Optuna's distributions), unless the Tuner's
        `param_space` has them; `method`, `early_terminate` (with a StudyScheduler), `budget={"trials": N}` (default:
        Tune's num_samples), `baselines`, `forbid`, `seed`, `duplicates`, ...

        home: the folder of the records (default `mlruns`). storage: another Optuna storage, as `hpo --storage`.
        MLFLOW_TRACKING_URI names another MLflow. seed_key: the key of the configuration in which a trial gets its seed.
        Raises SpecError with all that is wrong with it.
        """
        self._given = wanted(file, keys)
        self._home = make_home(home, storage)
        self._seed_key = seed_key
        self._whole = self._given  # with all parameters, once they are known
        self._sweep: Sweep | None = None
        if self._given.has_parameters:
            self._whole = with_parameters(self._given, {})
            self._sweep = build_sweep(self._whole)
        self._restored: dict[str, Any] | None = None
        self._session: Session | None = None
        if self._given.left_out:
            log.warning("%s: left to Ray Tune: %s", self._given.path, ", ".join(self._given.left_out))
        super().__init__()  # without the metric: a report that lacked it would end the whole experiment

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}  # Tune pickles searchers into its checkpoints

    @property
    def study(self) -> str:
        """The study's name; in a continuation with another space, that of the last successor once it runs."""
        if self._session is not None and self._session.study is not None:
            return self._session.study
        return str(self._given.source.data.get("name", self._given.path.stem))

    @property
    def unmirrored(self) -> str:
        """What MLflow lacks after `fit`, as its last warning says; "" if nothing. It is safe in the study, and the next
        run of the study, or `hpo doctor --fix`, writes it."""
        return self._session.unmirrored if self._session is not None else ""

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Take in what TuneConfig says (only called if there is a param_space). Raises UserError where that is not what
        the study says."""
        self._whole = with_parameters(self._given, config)
        self._sweep = build_sweep(self._whole)
        check_goal(self._sweep, metric, mode)
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return the configuration of a new trial; None while trials run that may fill the budget."""
        session = self._attached()
        proposal = session.guard(lambda: session.suggest(trial_id))
        if isinstance(proposal, NoTrial):
            return str(self.FINISHED) if proposal is NoTrial.FINISHED else None
        return dict(proposal)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: the session has more to go by (session.py)."""

    def _attached(self) -> Session:
        controller = find_controller()
        if controller is None:
            raise UserError("StudySearcher works within Tuner.fit only")
        if self._session is None or self._session.controller is not controller:
            if self._sweep is None:
                self._sweep = build_sweep(self._whole)  # says that there are no parameters
            self._session = Session(controller, self._sweep, self._open, self._seed_key, self._restored)
            self._restored = None
        return self._session

    def _open(self, samples: int) -> Recorder:
        assert self._sweep is not None
        if self._given.has_budget:
            return open_recorder(self._sweep, self._home)
        failures = self._given.failures if self._given.failures is not None else failures_borne(min(samples, MANY))
        return open_recorder(replace(self._sweep, budget=replace(self._sweep.budget, failures=failures)), self._home)

    # Tuner.restore.

    def save(self, checkpoint_path: str) -> None:
        """Write down which of Tune's trials are which of the study's."""
        state = self._session.saved() if self._session is not None else self._restored or {}
        data = self._whole.source.data
        state["said"] = {key: data[key] for key in ("parameters", "baselines") if key in data}
        Path(checkpoint_path).write_text(json.dumps(state), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Go on after a crash. Tune runs its unfinished trials again, under their ids."""
        self._restored = restored = dict(json.loads(Path(checkpoint_path).read_text(encoding="utf-8")))
        if self._sweep is None:  # Tune hands a param_space over once
            source = self._given.source
            self._whole = replace(self._given, source=replace(source, data={**source.data, **restored["said"]}))
            self._sweep = build_sweep(self._whole)
        self._attached()
