"""What must be the same version for the driver and its workers, read without importing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import metadata

_COMPARED = ("torch", "numpy", "optuna", "scikit-learn", "pandas")
_ABSENT = "not there"


def versions() -> dict[str, str]:
    """Return the versions of this process, by name."""
    found = {"Python": ".".join(map(str, sys.version_info[:2]))}
    for package in _COMPARED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = _ABSENT
    return found


def difference(driver: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return what is not the same on the driver's side and here, in a sentence for the user; "" if all is."""
    differing = [
        f"{name} {here.get(name, _ABSENT)} (the driver has {version})"
        for name, version in driver.items()
        if here.get(name) != version
    ]
    return f"the worker on {os.uname().nodename} has " + ", ".join(differing) if differing else ""
