"""From what `hpo.run` is given to a checked sweep: a sweep file, a mapping or keywords, and what is set over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path, PurePath
from typing import Any

from hpo.objective import live
from hpo.objective.build import inspect
from hpo.spec.faults import Fault, UserError, reading
from hpo.spec.load import bugs_told, make_sweep
from hpo.spec.plain import plain, shown
from hpo.spec.shipped import find_sweep_file
from hpo.spec.source import Source, apply_override, read_source, set_key
from hpo.spec.sweep import Sweep
from hpo.spec.yaml_text import dump_source

CALL = "hpo.run"  # stands in messages where a file's name would
_SHORT = {"metric": "name", "engine": "type"}  # sections of which a text says this key
_PATHS = ("objective", "program", "data")  # keys whose values may be paths


@dataclass(frozen=True)
class Given:
    """What a call of `hpo.run` says of its sweep.

    sweep: the path of a file, or a mapping of keys. keys: top-level keys, over those. overrides: keys by their paths,
    over all these, as `-o` has them or as a mapping. settings: the same from keywords of their own (the keyword's name,
    the key's path, the value), last of all.
    """

    sweep: str | PathLike[str] | Mapping[str, Any] | None
    keys: Mapping[str, Any]
    overrides: Sequence[str] | Mapping[str, Any] = ()
    settings: Sequence[tuple[str, str, Any]] = ()


def define(given: Given) -> Sweep:
    """Check everything and return the sweep. Raises SpecError with all faults, UserError for no such file."""
    faults: list[Fault] = []
    source, path = _base(given.sweep, faults)
    if isinstance(given.sweep, Mapping) or given.sweep is None:
        given_keys = {**(given.sweep or {}), **given.keys}
    else:
        given_keys = dict(given.keys)
    for key, value in given_keys.items():
        origin = f"{CALL}({key}=...)" if key in given.keys else CALL
        _set_top(source, str(key), _in_words(key, value, path.resolve().parent), origin, faults)
    if source.data.get("name") is None and not source.text:
        _name(source, given_keys.get("objective"), faults)
    _override(source, given, faults)
    sweep = make_sweep(source, path, inspect, faults)
    if given.keys or given.overrides or given.settings:
        sweep = replace(sweep, written=replace(sweep.written, overrides=None))  # no command says the same
    return sweep if source.text else replace(sweep, text=dump_source(source.data))


def _base(given: str | PathLike[str] | Mapping[str, Any] | None, faults: list[Fault]) -> tuple[Source, Path]:
    """Return the file that was named, or an empty one that lies where the program does; and its path."""
    if isinstance(given, str | PathLike):
        path = find_sweep_file(Path(given))
        with bugs_told(Source(str(path), {}), path), reading():
            return read_source(path), path
    if given is not None and not isinstance(given, Mapping):
        remedy = "give it as objective=..." if callable(given) else "a path, a mapping, or keywords"
        raise UserError(f"{CALL} takes a sweep file or a mapping of its keys, but got {shown(given)} ({remedy})")
    return Source(CALL, {}, origins={(): CALL}), live.script() or Path(CALL)


def _in_words(key: str, value: Any, folder: Path) -> Any:
    """Return a key's value as a file has it: an object's name for an object, text for a path, a section for a word."""
    if key == "objective" and value is not None and not isinstance(value, str | PurePath):
        return live.refer(value, folder)
    if key in _PATHS:
        return _with_paths_as_text(value)
    if key in _SHORT and isinstance(value, str):
        return {_SHORT[key]: value}
    return value


def _with_paths_as_text(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _with_paths_as_text(entry) for key, entry in value.items()}
    return [_with_paths_as_text(entry) for entry in value] if isinstance(value, list | tuple) else value


def _set_top(source: Source, key: str, value: Any, origin: str, faults: list[Fault]) -> None:
    found: list[Fault] = []
    source.data[key] = plain(value, (key,), found)
    source.lines = {place: line for place, line in source.lines.items() if place[:1] != (key,)}
    source.origins[(key,)] = origin
    faults += [replace(fault, source=origin) for fault in found]


def _name(source: Source, objective: Any, faults: list[Fault]) -> None:
    """Name a sweep that has no file after the function or class that it was given."""
    is_object = objective is not None and not isinstance(objective, str | PurePath)
    name = live.name_of(objective).rpartition(".")[2] if is_object else ""
    if name.isidentifier():
        source.data["name"] = name
    else:
        faults.append(Fault("the study has no name", remedy='add name="..."', source=CALL))


def _override(source: Source, given: Given, faults: list[Fault]) -> None:
    overrides, settings = given.overrides, list(given.settings)
    if isinstance(overrides, Mapping):
        settings = [("overrides", str(key), value) for key, value in overrides.items()] + settings
    elif isinstance(overrides, str) or not isinstance(overrides, Sequence):
        told = "overrides is a mapping, or a list of texts like 'budget.trials=50'"
        raise UserError(f"{CALL}: {told}, but got {shown(overrides)}")
    else:
        faults += [fault for fault in (apply_override(source, str(text)) for text in overrides) if fault]
    for keyword, key, value in settings:
        found: list[Fault] = []
        origin = f"{CALL}({keyword}=...)"
        value = plain(value, tuple(key.split(".")), found)
        faults += [replace(fault, source=origin) for fault in found]
        if not found and (fault := set_key(source, key, value, origin)):
            faults.append(fault)
