"""Reading YAML with the line of every key, so that each fault can say where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo.spec.faults import ConfigPath, Fault, SpecError
from hpo.spec.grammar import long_form, replaced_by
from hpo.spec.yaml_text import MOST_BYTES, Unreadable, plain


@dataclass
class Source:
    """A YAML mapping and where each of its keys stands."""

    name: str
    data: dict[str, Any]
    lines: dict[ConfigPath, int] = field(default_factory=dict)
    text: str = ""  # as it was read
    origins: dict[ConfigPath, str] = field(default_factory=dict)  # keys set by an override: "-o key=value"

    def locate(self, fault: Fault) -> Fault:
        """Return the fault with the line of its key, or of the closest parent that the file has."""
        path = fault.path
        while True:
            if path in self.origins:
                return Fault(fault.message, fault.path, None, fault.remedy, self.origins[path])
            if path in self.lines:
                return Fault(fault.message, fault.path, self.lines[path], fault.remedy)
            if not path:
                return Fault(fault.message, fault.path, 1, fault.remedy)
            path = path[:-1]


def parse_value(text: str) -> Any:
    """Parse one YAML value, such as an override's. Raises Unreadable."""
    value, _, faults = plain(text)
    if faults:
        raise Unreadable(f"not valid YAML: {faults[0].message}")
    return value


def read_source(path: Path) -> Source:
    """Read a sweep file. Raises SpecError if it is no readable YAML mapping."""

    def refuse(message: str, remedy: str = "", line: int | None = None) -> SpecError:
        return SpecError([Fault(message, line=line, remedy=remedy)], path)

    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise refuse(f"this is larger than a sweep file may be: {MOST_BYTES / 1e6:.0f} MB")
        text = data.decode("utf-8")
    except FileNotFoundError:
        raise refuse("there is no such file") from None
    except IsADirectoryError:
        raise refuse("this is a folder, not a sweep file") from None
    except UnicodeDecodeError as error:
        raise refuse(f"this is not a text file: byte {error.start} is not UTF-8", "a sweep file is YAML text") from None
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise refuse(f"can't be read: {getattr(error, 'strerror', None) or error}") from None
    return parse_source(text.replace("\r\n", "\n").replace("\r", "\n"), str(path))


def parse_source(text: str, name: str) -> Source:
    """Parse YAML text as a sweep file. Raises SpecError if it is no YAML mapping."""
    try:
        data, lines, faults = plain(text)
    except Unreadable as error:
        raise SpecError([Fault(str(error), line=error.line)], name) from None
    if not lines:
        raise SpecError([Fault("the file is empty", remedy="see search_spaces/binary.yaml for an example")], name)
    if not isinstance(data, dict):
        raise SpecError([Fault("a sweep file is a mapping of keys like 'objective:' and 'parameters:'", line=1)], name)
    if faults:
        raise SpecError(faults, name)
    return Source(name, data, lines, text)


def apply_override(source: Source, text: str) -> Fault | None:
    """Set one `key.path=value` in place (`set_key`); the value is YAML. Return a fault if the text can't be applied."""
    origin = f"-o {text}"
    key, equals, value_text = text.partition("=")
    if not equals or not key.strip():
        return Fault("an override is written key.path=value", source=origin)
    try:
        value = parse_value(value_text)
    except Unreadable as error:
        return Fault(str(error), source=origin)
    return set_key(source, key.strip(), value, origin)


def set_key(source: Source, key: str, value: Any, origin: str) -> Fault | None:
    """Set one key in place. origin: where the user said so, for faults. Return a fault if there is no such place.

    Dots go down into mappings and lists: `budget.trials`, `baselines.0.optimizer`. A key that holds dots itself is
    found before it is split, and a nested parameter by its dotted name. What says otherwise what a parameter is
    (`values` beside a new `value`) goes.
    """
    container: Any = source.data
    path: ConfigPath = ()
    changed: ConfigPath | None = None  # the outermost key that this makes or replaces
    rest = key.split(".")
    while True:
        if isinstance(container, dict):
            part, rest = _step_down(container, rest)
        elif isinstance(container, list) and _is_index(rest[0]) and int(rest[0]) < len(container):
            part, rest = int(rest[0]), rest[1:]
        else:
            return Fault(f"'{rest[0]}' leads nowhere in what stands there", path, source=origin)
        path = (*path, part)
        if not rest:
            break
        if isinstance(container, dict) and not isinstance(container.get(part), dict | list):
            found = container.get(part)
            found = long_form(str(part), found) if len(path) == 1 else found
            if found is not None and not isinstance(found, dict):
                return Fault(f"'{rest[0]}' leads nowhere in what stands there", path, source=origin)
            container[part] = found or {}
            changed = changed or path
        container = container[part]
    container[part] = value
    for other in replaced_by(path) if isinstance(container, dict) else ():
        container.pop(other, None)
    changed = changed or path
    source.lines = {known: line for known, line in source.lines.items() if known[: len(changed)] != changed}
    source.origins = {known: text for known, text in source.origins.items() if known[: len(changed)] != changed}
    source.origins[changed] = origin
    return None


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < 10


def _step_down(container: dict[str, Any], rest: list[str]) -> tuple[str | int, list[str]]:
    """Return the key that `rest` begins with, the longest that is there, and what follows it."""
    for length in range(len(rest), 0, -1):
        if (key := ".".join(rest[:length])) in container:
            return key, rest[length:]
    nested = container.get("parameters")
    if isinstance(nested, dict) and any(".".join(rest[: index + 1]) in nested for index in range(len(rest))):
        return "parameters", rest  # of a group: `parameters.outer.inner.max` goes by way of `outer.parameters`
    return rest[0], rest[1:]
