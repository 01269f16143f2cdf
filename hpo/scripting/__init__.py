"""What scripts and notebooks use: `hpo.run`, `hpo.load` and the result of both."""

import importlib
import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm's, in a notebook without widgets: none is used
    importlib.import_module("optuna")
