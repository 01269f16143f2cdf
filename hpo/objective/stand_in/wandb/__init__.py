"""A stand-in for the package wandb, in the programs of a sweep: what they log is reported to the sweep.

It knows what training scripts use: init, config, log, summary, finish, define_metric. What only W&B's service could do
(watch, save, images, tables, artefacts, ...) is ignored, which is said once; what would run another sweep, or ask the
service (sweep, agent, Api), is refused. Nothing goes to a network, and nothing is written but to standard output.

Where the real package is installed as well, and would work (you are logged in, or WANDB_MODE says that no account is
needed), it takes this one's place, unless HPO_WANDB=stand-in. Standard library only: the program's Python may be
another one than the sweep's, of 3.9 or later.
"""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info < (3, 9):  # noqa: UP036 (hpo's own Python is newer, a program's may not be)
    raise ImportError("hpo's stand-in for wandb needs Python 3.9 or later; HPO_WANDB=off takes it away")

from . import _choice

_real = _choice.real_package() if __name__ == "wandb" else None
if _real is not None:  # the import that led here gives what sys.modules has
    _choice.give_way(_real)
else:
    from . import _channel, errors
    from ._ignored import Ignored, ignored, said_once
    from ._refused import NoSubmodule, refused
    from ._run import LoggedRun, prepared_config, prepared_summary
    from ._settings import RunSettings
    from .errors import CommError as CommError
    from .errors import Error
    from .errors import UsageError as UsageError

    Run, Settings = LoggedRun, RunSettings
    if __name__ == "wandb":
        sys.meta_path.append(NoSubmodule)  # asked last: those that are there are found before
    __version__ = "0.0.0+stand-in"
    run: LoggedRun | None = None
    config = prepared_config()
    summary = prepared_summary()

    def init(project: Any = None, config: Any = None, **settings: Any) -> LoggedRun:
        """Begin a run, which has the trial's hyperparameters as its config; `config` gives defaults of others."""
        global run
        this = sys.modules[__name__]
        if run is not None:
            if not settings.get("reinit"):
                run.config.set_defaults(config)
                return run
            run.finish()
        _channel.say("wandb", _choice.which())
        run = LoggedRun(project, config, settings, _ended)
        this.config, this.summary = run.config, run.summary  # type: ignore[attr-defined]
        return run

    def _ended(which: LoggedRun) -> None:
        global run
        run = None if run is which else run

    def _current(what: str) -> LoggedRun:
        if run is None:
            raise Error(f"wandb.init() must be called before wandb.{what}")
        return run

    def log(data: Any = None, step: Any = None, commit: Any = None, sync: Any = None) -> None:
        """Report metrics to the sweep."""
        _current("log()").log(data, step, commit)

    def define_metric(name: Any, **how: Any) -> Ignored:
        """Say what counts of a metric at the end: summary="max", "min", "mean", "best" (with goal) or "last"."""
        return _current("define_metric()").define_metric(name, **how)

    def finish(*args: Any, **kwargs: Any) -> None:
        """End the run."""
        if run is not None:
            run.finish()

    join = finish

    def login(*args: Any, **kwargs: Any) -> bool:
        """Return that all is well: no account is needed here."""
        return True

    sweep = refused("sweep")
    agent = refused("agent")
    controller = refused("controller")
    Api = refused("Api")
    restore = refused("restore")
    use_artifact = refused("use_artifact")

    def __getattr__(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module 'wandb' has no attribute {name!r}")
        if not errors.is_error(name):
            said_once(name)
        return ignored(name)
