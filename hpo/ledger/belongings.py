"""Which files of a home are a study's, besides its rows in the storage."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from hpo.ledger.study.home import Home
from hpo.ledger.study.models import models_of
from hpo.spec.names import OWN_LOGS

_MODELS = "models"  # MLflow's folder, beside those of the runs, with the files of logged models


class Belonging(NamedTuple):
    """A file or a folder of a study's that is there."""

    what: str  # in words
    path: Path


def by_name(home: Home, name: str) -> dict[str, Path]:
    """Return the files and folders that are called like a study, there or not, by what they are.

    The home's own logs are no study's, even if an earlier release let one be called so.
    """
    named = {
        "models": home.models / name,
        "report": home.reports / f"{name}.html",
        "plots of the report": home.reports / f"{name}-plots",
    }
    return named | ({} if re.fullmatch(OWN_LOGS, name) else {"logs": home.logs / name})


def by_id(home: Home, study_id: str) -> dict[str, Path]:
    """Return the folders that are called like a study's id, there or not, by what is in them."""
    kinds = {"checkpoints": home.checkpoints, "kept weights": home.kept, "outputs of test rows": home.outputs}
    return {what: folder / study_id for what, folder in kinds.items()} if _is_plain(study_id) else {}


def of_runs(home: Home, run_ids: Iterable[str]) -> list[Path]:
    """Return the folders of MLflow runs that are there; none where MLflow keeps files elsewhere."""
    place = artifacts_folder(home)
    ids = dict.fromkeys(filter(_is_plain, run_ids))
    return [path for run_id in ids if place is not None and (path := place / run_id).is_dir()]


def belongings_of(home: Home, name: str, attributes: Mapping[str, Any], run_ids: Collection[str]) -> list[Belonging]:
    """Return all files of a study that are there. attributes: the study's. run_ids: of its runs in MLflow."""
    named = by_name(home, name) | by_id(home, str(attributes.get("id", "")))
    found = [Belonging("files of its MLflow runs", path) for path in of_runs(home, run_ids)]
    if (place := artifacts_folder(home)) is not None:
        ids = [model.model_id for model in models_of(attributes) if _is_plain(model.model_id)]
        found += [Belonging("registered models", place / _MODELS / each) for each in ids]
    return [each for each in [*found, *(Belonging(*item) for item in named.items())] if each.path.exists()]


def artifacts_folder(home: Home) -> Path | None:
    """Return where the files of a home's MLflow runs lie; None: MLflow keeps them elsewhere."""
    return Path(unquote(urlsplit(home.artifacts).path)) if home.artifacts else None


def sizes_of(belongings: Iterable[Belonging]) -> dict[str, int]:
    """Return how many bytes the files have, by what they are."""
    sizes: dict[str, int] = defaultdict(int)
    for each in belongings:
        sizes[each.what] += _size(each.path)
    return dict(sizes)


def _size(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    inside = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in inside)


def _is_plain(name: str) -> bool:
    """Whether a name is of a file in a folder, not of the folder itself or of one beside it: what an imported study
    says is not believed."""
    return name not in ("", ".", "..") and Path(name).name == name
