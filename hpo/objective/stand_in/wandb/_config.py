"""A run's config: the trial's hyperparameters, which nothing overrides, and what the script adds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from . import _channel

_DEFAULTS = "config-defaults.yaml"  # W&B reads it from the working directory


class Nested(dict[str, Any]):
    """A group of hyperparameters, whose entries are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Config(MutableMapping[str, Any]):
    """Values by item or attribute. Those of the sweep stay as they are, whatever is set or updated."""

    def __init__(self, swept: Mapping[str, Any]) -> None:
        """swept: the trial's hyperparameters, with dotted names for nested ones."""
        self.__dict__["_flat"] = dict(swept)
        self.__dict__["_locked"] = _nested(swept)
        self.__dict__["_items"] = dict(self._locked)  # by W&B's name: some scripts look into it

    def __getitem__(self, key: str) -> Any:
        if key not in self._items and key in self._flat:
            return self._flat[key]  # optimizer.lr, by its dotted name
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self._flat:
            return
        locked = self._locked.get(key)
        if isinstance(locked, dict) and isinstance(value, Mapping):
            self._items[key] = _merged(locked, value)
        elif key not in self._locked:
            self._items[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self._locked:
            del self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items or key in self._flat

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"wandb.config has no {name!r}: neither the sweep nor the script gives it") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return repr(self._items)

    def as_dict(self) -> dict[str, Any]:
        return dict(self._items)

    _as_dict = as_dict

    def update(self, given: Any = None, allow_val_change: Any = None, **more: Any) -> None:  # type: ignore[override]
        """Add values: of a mapping, an argparse.Namespace, or anything with variables."""
        for key, value in {**plain(given), **more}.items():
            self[str(key)] = value

    def set_defaults(self, given: Any) -> None:
        """Add the values that are not there yet."""
        for key, value in plain(given).items():
            if key not in self._items or isinstance(self._locked.get(str(key)), dict):
                self[str(key)] = value

    setdefaults = set_defaults


def swept() -> dict[str, Any]:
    """Return the trial's hyperparameters."""
    path = os.environ.get("HPO_PARAMS_FILE")
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return found


def plain(given: Any) -> dict[str, Any]:
    """Return what a script gives as config as a dict."""
    if given is None:
        return {}
    if isinstance(given, str):
        return file_values(Path(given))
    if isinstance(given, Mapping) or hasattr(given, "keys"):
        return {key: given[key] for key in given.keys()}  # noqa: SIM118 (a mapping of another library's may be no Mapping)
    if hasattr(given, "flag_values_dict"):  # absl's FLAGS
        return dict(given.flag_values_dict())
    return dict(vars(given))


def file_values(path: Path) -> dict[str, Any]:
    """Return the values of a file as W&B writes it: `name: {value: ...}`, or plainly `name: ...`."""
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        _channel.say("wandb-yaml", f"{path} is not read: the script's Python has no PyYAML (pip install pyyaml)")
        return {}
    found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {
        str(key): entry["value"] if isinstance(entry, dict) and "value" in entry else entry
        for key, entry in found.items()
        if key not in ("wandb_version", "_wandb")
    }


def default_values() -> dict[str, Any]:
    """Return the values of config-defaults.yaml, if the working directory has it."""
    return file_values(Path(_DEFAULTS)) if Path(_DEFAULTS).is_file() else {}


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        place = found
        for depth, group in enumerate(groups, 1):
            inner = place.setdefault(group, Nested())
            if not isinstance(inner, Nested) or ".".join(groups[:depth]) in flat:
                place, last = found, name  # a hyperparameter has the group's name
                break
            place = inner
        place[last] = value
    return found


def _merged(locked: Mapping[str, Any], given: Mapping[str, Any]) -> Nested:
    """Return a group of the script's with the sweep's values in it."""
    found = Nested(given)
    for key, value in locked.items():
        other = given.get(key)
        found[key] = _merged(value, other) if isinstance(value, Nested) and isinstance(other, Mapping) else value
    return found
