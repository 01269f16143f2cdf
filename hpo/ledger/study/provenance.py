"""What a result depends on besides the sweep file: versions and the commit of the user's code."""

from __future__ import annotations

import getpass
import platform
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = ("torch", "optuna", "mlflow", "ray", "scikit-learn", "numpy", "pandas")
DISTRIBUTION = "hpo-sweep"


def hpo_version() -> str:
    """Return this package's version; "unknown" where it runs without being installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """Return the versions of Python, of this platform and of the libraries, read without importing them."""
    found = {"python": platform.python_version(), "hpo": hpo_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def user() -> str:
    """Return who runs this; "" where the system has no name for them, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def git_commit(folder: Path | None = None) -> str:
    """Return the commit of the working folder, with `+changes` if it has uncommitted ones; "" outside a repository."""

    def git(*arguments: str) -> str:
        answer = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return answer.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return ""
