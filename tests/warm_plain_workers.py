"""What workers of a function load, for a server of tests/warm.py. It must not start threads."""

import hpo.engines.worker
from hpo.lazy import keep_imports

__all__ = ["hpo"]
keep_imports()
