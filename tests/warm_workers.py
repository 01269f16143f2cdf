"""The libraries that workers of Torch tasks load, for a server of tests/warm.py. It must not start threads."""

import sklearn.metrics
import sklearn.model_selection
import sklearn.preprocessing
import torch._dynamo

from hpo.lazy import keep_imports

__all__ = ["sklearn", "torch"]
keep_imports()
