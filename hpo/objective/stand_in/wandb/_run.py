"""A run: what a script logs, reported to the sweep as it comes."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from . import _channel
from ._config import Config, default_values, plain, swept
from ._counted import CountedValues
from ._ignored import Ignored, said_once
from ._refused import WithoutService
from ._settings import RunSettings, mode_of

_QUIET = ("watch", "unwatch", "save", "alert", "log_code", "mark_preempting", "status", "to_html", "display")


def prepared_config() -> Config:
    """Return the config that a script finds before it calls init."""
    return Config(swept())


def prepared_summary() -> Summary:
    """Return the summary that a script finds before it calls init."""
    return Summary(None)


class Summary(MutableMapping[str, Any]):
    """The last value of each metric. What a script sets itself is reported at the step that was the last."""

    def __init__(self, run: LoggedRun | None) -> None:
        self.__dict__["_run"] = run
        self.__dict__["_values"] = {}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        if self._run is not None:
            self._run.report_again({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._values:
            raise AttributeError(name)
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def took(self, values: Mapping[str, Any]) -> None:
        """Keep what was logged, which is reported already."""
        self._values.update(values)


class LogSteps:
    """W&B's steps: each call of `log` is one, unless `commit=False` or `step=` says otherwise.

    following: of the next report, from 0. last: as the last one was reported: the sweep counts its reports from 1, and
    so are these counted until a script names one.
    """

    def __init__(self) -> None:
        self.following = 0
        self.last = 0
        self._named = False

    def begin(self, step: int | None) -> bool:
        """Turn to the step of a report, None: the next one; return whether it may be reported: none that is over."""
        if step is not None:
            if step < self.following:
                text = f"step {step} comes after step {self.following}, and is left out, as W&B does"
                _channel.say("wandb-step", text)
                return False
            self._named, self.following = True, step
        self.last = self.following + (0 if self._named else 1)
        return True

    def end(self) -> None:
        """Go on to the next step."""
        self.following += 1


class LoggedRun(WithoutService):
    """What wandb.init returns."""

    def __init__(
        self, project: Any, config: Any, settings: Mapping[str, Any], on_end: Callable[[LoggedRun], None] | None = None
    ) -> None:
        number = os.environ.get("HPO_TRIAL", "0")
        self.settings = RunSettings(**{**_variables(settings.get("settings")), "mode": mode_of(settings)})
        self.ended = False
        self.config = Config(swept())
        self.config.set_defaults(_chosen(plain(config), settings))
        self.config.set_defaults(default_values())
        self.summary = Summary(self)
        self.id = str(settings.get("id") or f"trial-{number}")
        self.name = settings.get("name") or self.id
        self.project, self.entity = project or "", settings.get("entity") or ""
        self.group, self.tags = settings.get("group") or "", tuple(settings.get("tags") or ())
        self.dir = os.environ.get("HPO_FOLDER", os.curdir)
        self._steps = LogSteps()
        self._on_end = on_end
        self._counted = CountedValues()
        atexit.register(self.finish)

    @property
    def mode(self) -> str:
        return str(self.settings.mode)

    @property
    def disabled(self) -> bool:
        return self.mode == "disabled"

    @property
    def offline(self) -> bool:
        return self.mode == "offline"

    @property
    def step(self) -> int:
        return self._steps.following

    def log(self, data: Any = None, step: Any = None, commit: Any = None, sync: Any = None) -> None:
        """Report metrics: of the step that is named, or of the next one."""
        if data is not None and not isinstance(data, Mapping):
            raise TypeError(f"wandb.log takes a dict, but got {type(data).__name__}")
        if not self._steps.begin(None if step is None else int(step)):
            return
        metrics = dict(_numbers(data or {}))
        if metrics:
            self._report(metrics)
            self.summary.took(metrics)
            self._counted.took(metrics)
        if commit or (commit is None and step is None):
            self._steps.end()

    def report_again(self, values: Mapping[str, Any]) -> None:
        """Report values of the step that was the last."""
        if metrics := dict(_numbers(values)):
            self._report(metrics)

    def _report(self, metrics: Mapping[str, float]) -> None:
        if not self.disabled:
            _channel.report(self._steps.last, metrics)

    def define_metric(
        self, name: Any, step_metric: Any = None, summary: Any = None, goal: Any = None, **how: Any
    ) -> Ignored:
        """Have the sweep take another value of a metric than its last: summary="max", "min", "mean", "first" or "best".

        name: a metric's, or the beginning of several metrics' names (`val/*`). Raises Error for what W&B refuses.
        """
        self._counted.define(name, summary, goal)
        return Ignored("define_metric")

    def finish(self, *args: Any, **kwargs: Any) -> None:
        """End the run; a second call does nothing."""
        if self.ended:
            return
        self.ended = True
        atexit.unregister(self.finish)
        for name, value in self._counted.found():
            self.report_again({name: value})
        if self._on_end is not None:
            self._on_end(self)

    join = finish

    def __enter__(self) -> LoggedRun:
        return self

    def __exit__(self, *error: Any) -> None:
        self.finish()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        said_once(name if name in _QUIET else f"run.{name}")
        return Ignored(f"run.{name}")


def _variables(settings: Any) -> dict[str, Any]:
    return dict(settings) if isinstance(settings, Mapping) else dict(getattr(settings, "__dict__", {}))


def _chosen(config: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    include, exclude = settings.get("config_include_keys"), settings.get("config_exclude_keys") or ()
    return {key: value for key, value in config.items() if key not in exclude and (not include or key in include)}


def _numbers(data: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers in what is logged; those in nested dicts as outer.inner. What else there is, is told once."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{name}.")
        elif (number := _number(value)) is not None:
            if name not in ("step", "epoch"):  # W&B's step is the step
                yield name, number
        else:
            what = repr(value) if isinstance(value, Ignored) else f"{type(value).__name__}, no number"
            _channel.say("wandb-values", f"{name!r} is left out of the metrics: it is {what}")


def _number(value: Any) -> float | None:
    """Return a number of Python, NumPy or Torch as Python's; None if it is none."""
    if isinstance(value, (bool, str, bytes, Ignored)) or value is None:
        return None
    try:
        value = value.item() if hasattr(value, "item") else value
        return float(value) if not isinstance(value, (bool, str, complex)) else None
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
