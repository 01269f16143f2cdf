"""The public API. Names load at first use (PEP 562), so that `import hpo` costs nothing and needs no Torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the twin of _EXPORTS, for editors and type checkers
    from hpo.model.loaded import load_model as load_model
    from hpo.objective.base import Pruned as Pruned
    from hpo.scripting.comparing import CompareResult as CompareResult
    from hpo.scripting.confirming import ConfirmResult as ConfirmResult
    from hpo.scripting.result import Best as Best
    from hpo.scripting.result import Result as Result
    from hpo.scripting.result import load as load
    from hpo.scripting.run import SweepFailed as SweepFailed
    from hpo.scripting.run import run as run
    from hpo.spec.contract import Known as Known
    from hpo.spec.faults import Fault as Fault
    from hpo.spec.faults import UserError as UserError
    from hpo.training.cuts import Cut as Cut
    from hpo.training.cuts import Fold as Fold
    from hpo.training.cuts import Reshuffle as Reshuffle
    from hpo.training.data.cifar import augment_pictures as augment_pictures
    from hpo.training.data.cifar import check_cifar10 as check_cifar10
    from hpo.training.data.cifar import load_cifar10 as load_cifar10
    from hpo.training.data.cifar import normalise_cifar10 as normalise_cifar10
    from hpo.training.data.options import check_options as check_options
    from hpo.training.data.options import fill_options as fill_options
    from hpo.training.data.sequences import check_sequences as check_sequences
    from hpo.training.data.sequences import load_sequences as load_sequences
    from hpo.training.data.splitting import SPLIT_OPTIONS as SPLIT_OPTIONS
    from hpo.training.data.splitting import check_shares as check_shares
    from hpo.training.data.splitting import split_arrays as split_arrays
    from hpo.training.data.table_task import TableTask as TableTask
    from hpo.training.data.tabular import check_csv as check_csv
    from hpo.training.data.tabular import load_csv as load_csv
    from hpo.training.models import RECURRENT_PARAMETERS as RECURRENT_PARAMETERS
    from hpo.training.models import mlp as mlp
    from hpo.training.models import recurrent as recurrent
    from hpo.training.task import Split as Split
    from hpo.training.task import Splits as Splits
    from hpo.training.task import TorchTask as TorchTask
    from hpo.training.vocabulary.activations import make_activation as make_activation
    from hpo.training.vocabulary.targets import STANDARDIZED_TARGET as STANDARDIZED_TARGET

_EXPORTS = {
    "Best": "hpo.scripting.result",
    "CompareResult": "hpo.scripting.comparing",
    "ConfirmResult": "hpo.scripting.confirming",
    "Cut": "hpo.training.cuts",
    "Fault": "hpo.spec.faults",
    "Fold": "hpo.training.cuts",
    "Known": "hpo.spec.contract",
    "Pruned": "hpo.objective.base",
    "RECURRENT_PARAMETERS": "hpo.training.models",
    "Reshuffle": "hpo.training.cuts",
    "Result": "hpo.scripting.result",
    "SPLIT_OPTIONS": "hpo.training.data.splitting",
    "STANDARDIZED_TARGET": "hpo.training.vocabulary.targets",
    "Split": "hpo.training.task",
    "Splits": "hpo.training.task",
    "SweepFailed": "hpo.scripting.run",
    "TableTask": "hpo.training.data.table_task",
    "TorchTask": "hpo.training.task",
    "UserError": "hpo.spec.faults",
    "augment_pictures": "hpo.training.data.cifar",
    "check_cifar10": "hpo.training.data.cifar",
    "check_csv": "hpo.training.data.tabular",
    "check_options": "hpo.training.data.options",
    "check_sequences": "hpo.training.data.sequences",
    "check_shares": "hpo.training.data.splitting",
    "fill_options": "hpo.training.data.options",
    "load": "hpo.scripting.result",
    "load_cifar10": "hpo.training.data.cifar",
    "load_csv": "hpo.training.data.tabular",
    "load_model": "hpo.model.loaded",
    "load_sequences": "hpo.training.data.sequences",
    "make_activation": "hpo.training.vocabulary.activations",
    "mlp": "hpo.training.models",
    "normalise_cifar10": "hpo.training.data.cifar",
    "recurrent": "hpo.training.models",
    "run": "hpo.scripting.run",
    "split_arrays": "hpo.training.data.splitting",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, once, and return the name from there."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
