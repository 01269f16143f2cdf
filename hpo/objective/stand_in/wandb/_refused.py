"""What the stand-in refuses, with the remedy."""

from __future__ import annotations

from typing import Any, NoReturn

from .errors import Error

_SWEEPS = (
    "here `hpo sweep FILE` is the sweep, and runs this script once a trial. Put the sweep's configuration into FILE, "
    "and let the script call {function} itself, in place of wandb.sweep and wandb.agent"
)
_INTEGRATIONS = (
    "catboost", "fastai", "fastprogress", "gym", "integration", "jupyter", "keras", "lightgbm", "sb3", "sklearn",
    "spacy", "tensorflow", "xgboost",
)  # fmt: skip
_SERVICE = "it asks W&B's server, which is not used here. Install wandb and log in to it, or leave the call out"


def refused(name: str) -> Any:
    """Return a function of W&B's that raises Error and says what to do instead."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        function = kwargs.get("function") or next((each for each in args if callable(each)), None)
        called = f"{getattr(function, '__name__', 'the function')}()" if function else "its training function"
        remedy = _SWEEPS.format(function=called) if name in ("sweep", "agent", "controller") else _SERVICE
        raise Error(f"wandb.{name} is not supported by hpo's stand-in: {remedy}")

    refuse.__name__ = name
    return refuse


class WithoutService:
    """What a run has of W&B's server, where there is none."""

    sweep_id = ""
    resumed = False
    starting_step = 0
    url = project_url = sweep_url = job_type = notes = None
    restore = staticmethod(refused("restore"))
    use_artifact = staticmethod(refused("use_artifact"))


class NoSubmodule:
    """A finder that says of a module of wandb's which the stand-in lacks what to do instead."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.startswith("wandb."):
            remedy = "leave the import out"
            if name.split(".")[1] in _INTEGRATIONS:
                remedy = "call wandb.log for each epoch"
            remedy += ", or install wandb and log in to it"
            raise ModuleNotFoundError(f"{name} is not part of hpo's stand-in for wandb: {remedy}", name=name)
