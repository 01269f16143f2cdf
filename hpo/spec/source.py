"""Reading YAML with the line of every key, so that each fault can say where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hpo.spec import scalars
from hpo.spec.faults import ConfigPath, Fault, SpecError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's scalars: `1e-5` is a number; `off`, `1:30` and `2024-01-01` are text."""


_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_REPLACED = {_TAG + name for name in ("bool", "int", "float", "timestamp", "value")}  # value: `=` is text
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_TAG + "bool", scalars.BOOL, list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "float", scalars.FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver(_TAG + "int", scalars.INT, list("-+0123456789"))


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader above would take for something else than text, or others, by YAML 1.1, for a boolean."""


_Dumper.yaml_implicit_resolvers = {first: list(found) for first, found in _Loader.yaml_implicit_resolvers.items()}
_Dumper.add_implicit_resolver(_TAG + "bool", re.compile("^(?i:yes|no|on|off)$"), list("yYnNoO"))


def dump_source(data: Mapping[str, Any]) -> str:
    """Return data as YAML that `parse_source` reads back as it was."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True)
    return text


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
    """Parse one YAML value, such as an override's. Raises yaml.YAMLError."""
    faults: list[Fault] = []
    node = yaml.compose(text, _Loader)
    value = None if node is None else _construct(node, (), {}, faults)
    if faults:
        raise yaml.YAMLError(faults[0].message)
    return value


def read_source(path: Path) -> Source:
    """Read a sweep file. Raises SpecError if it is no readable YAML mapping."""

    def refuse(message: str, remedy: str = "", line: int | None = None) -> SpecError:
        return SpecError([Fault(message, line=line, remedy=remedy)], path)

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise refuse("there is no such file") from None
    except IsADirectoryError:
        raise refuse("this is a folder, not a sweep file") from None
    except UnicodeDecodeError as error:
        raise refuse(f"this is not a text file: byte {error.start} is not UTF-8", "a sweep file is YAML text") from None
    except OSError as error:
        raise refuse(f"can't be read: {error.strerror}") from None
    return parse_source(text, str(path))


def parse_source(text: str, name: str) -> Source:
    """Parse YAML text as a sweep file. Raises SpecError if it is no YAML mapping."""
    lines: dict[ConfigPath, int] = {}
    faults: list[Fault] = []
    try:
        node = yaml.compose(text, _Loader)
        data = _construct(node, (), lines, faults) if isinstance(node, yaml.MappingNode) else {}
    except RecursionError:
        raise SpecError([Fault("it is nested too deeply, or an anchor holds itself")], name) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise SpecError([Fault(f"not valid YAML: {error.problem or error.context}", line=line)], name) from None
    except yaml.YAMLError as error:  # control characters: a binary file that happens to be UTF-8
        reason = getattr(error, "reason", "it holds characters that YAML does not allow")
        raise SpecError([Fault(f"not a YAML text file: {reason}")], name) from None
    if node is None:
        raise SpecError([Fault("the file is empty", remedy="see search_spaces/binary.yaml for an example")], name)
    if not isinstance(node, yaml.MappingNode):
        raise SpecError([Fault("a sweep file is a mapping of keys like 'objective:' and 'parameters:'", line=1)], name)
    if faults:
        raise SpecError(faults, name)
    return Source(name, data, lines, text)


def _construct(node: yaml.Node, path: ConfigPath, lines: dict[ConfigPath, int], faults: list[Fault]) -> Any:
    """Turn a node into plain data, noting each key's line; repeated and odd keys become faults."""
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if node.tag not in _PLAIN:
        faults.append(Fault(f"the tag {node.tag!r} is not allowed", path, line, remedy="write plain YAML"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _construct_mapping(node, path, lines, faults)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, (*path, index), lines, faults) for index, child in enumerate(node.value)]
    try:
        return _Loader("").construct_object(node)
    except (yaml.YAMLError, ValueError, KeyError):
        faults.append(Fault(f"this is no {node.tag.removeprefix(_TAG)}", path, line))
        return None


def _construct_mapping(
    node: yaml.MappingNode, path: ConfigPath, lines: dict[ConfigPath, int], faults: list[Fault]
) -> dict[str, Any]:
    own: set[str] = set()
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == _TAG + "merge":  # `<<: *base`, or a list of them: own keys win, then earlier ones
            for base in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                if not isinstance(base, yaml.MappingNode):
                    faults.append(Fault("'<<' takes a mapping, or a list of them", path, line))
                    continue
                found: dict[ConfigPath, int] = {}
                result = {**_construct_mapping(base, path, found, faults), **result}
                lines.update({place: at for place, at in found.items() if place not in lines})
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            faults.append(Fault("a key must be a word", path, line))
            continue
        key = key_node.value  # as written: `on` is a name like any other
        if key in own:
            first = lines[(*path, key)]
            faults.append(Fault(f"the key is repeated (first on line {first})", (*path, key), line))
        own.add(key)
        lines[(*path, key)] = line
        result[key] = _construct(value_node, (*path, key), lines, faults)
    return result


def apply_override(source: Source, text: str) -> Fault | None:
    """Set one `key.path=value` in place; the value is YAML. Return a fault if the text can't be applied.

    Dots go down into mappings and lists: `budget.trials=50`, `baselines.0.optimizer=sgd`. A key that holds dots itself
    is found before it is split, and a nested parameter by its dotted name.
    """
    origin = f"-o {text}"
    key, equals, value_text = text.partition("=")
    if not equals or not key.strip():
        return Fault("an override is written key.path=value", source=origin)
    try:
        value = parse_value(value_text)
    except yaml.YAMLError as error:
        return Fault(f"not valid YAML: {getattr(error, 'problem', error)}", source=origin)
    except RecursionError:
        return Fault("it is nested too deeply, or an anchor holds itself", source=origin)
    container: Any = source.data
    path: ConfigPath = ()
    changed: ConfigPath | None = None  # the outermost key that the override makes or replaces
    rest = key.strip().split(".")
    while True:
        if isinstance(container, dict):
            part, rest = _step_down(container, rest)
        elif isinstance(container, list) and rest[0].isdigit() and int(rest[0]) < len(container):
            part, rest = int(rest[0]), rest[1:]
        else:
            return Fault(f"'{rest[0]}' leads nowhere in what the file has there", path, source=origin)
        path = (*path, part)
        if not rest:
            break
        if isinstance(container, dict) and not isinstance(container.get(part), dict | list):
            container[part] = {}
            changed = changed or path
        container = container[part]
    container[part] = value
    changed = changed or path
    source.lines = {known: line for known, line in source.lines.items() if known[: len(changed)] != changed}
    source.origins = {known: text for known, text in source.origins.items() if known[: len(changed)] != changed}
    source.origins[changed] = origin
    return None


def _step_down(container: dict[str, Any], rest: list[str]) -> tuple[str | int, list[str]]:
    """Return the key that `rest` begins with, the longest that is there, and what follows it."""
    for length in range(len(rest), 0, -1):
        if (key := ".".join(rest[:length])) in container:
            return key, rest[length:]
    nested = container.get("parameters")
    if isinstance(nested, dict) and any(".".join(rest[: index + 1]) in nested for index in range(len(rest))):
        return "parameters", rest  # of a group: `parameters.outer.inner.max` goes by way of `outer.parameters`
    return rest[0], rest[1:]
