"""Reading YAML with the line of every key, so that each fault can say where it stands."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hpo.spec.faults import ConfigPath, Fault, SpecError

_FLOAT = re.compile(
    r"""^[-+]?(?:(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.X,
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's numbers: `1e-5` is a number, `1:30` is not."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass
class Source:
    """A YAML mapping and where each of its keys stands."""

    name: str
    data: dict[str, Any]
    lines: dict[ConfigPath, int] = field(default_factory=dict)
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
    return yaml.load(text, _Loader)  # noqa: S506 (a subclass of SafeLoader)


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
    try:
        node = yaml.compose(text, _Loader)
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
    lines: dict[ConfigPath, int] = {}
    faults: list[Fault] = []
    data = _construct(node, (), lines, faults)
    if faults:
        raise SpecError(faults, name)
    return Source(name, data, lines)


def _construct(node: yaml.Node, path: ConfigPath, lines: dict[ConfigPath, int], faults: list[Fault]) -> Any:
    """Turn a node into plain data, noting each key's line; repeated and odd keys become faults."""
    lines.setdefault(path, node.start_mark.line + 1)
    loader = _Loader("")
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)  # merge keys: `<<: *base`
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable) or isinstance(key, dict | list):
                faults.append(Fault(f"a key must be a word, but got {key!r}", path, line))
                continue
            key = key if isinstance(key, str) else str(key)
            if key in result:
                first = lines[(*path, key)]
                faults.append(Fault(f"the key is repeated (first on line {first})", (*path, key), line))
            lines[(*path, key)] = line
            result[key] = _construct(value_node, (*path, key), lines, faults)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, (*path, index), lines, faults) for index, child in enumerate(node.value)]
    try:
        return loader.construct_object(node)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        faults.append(Fault(f"not allowed here: {problem}", path, node.start_mark.line + 1))
        return None


def apply_override(source: Source, text: str) -> Fault | None:
    """Set one `key.path=value` in place; the value is YAML. Return a fault if the text can't be applied.

    Dots go down into mappings and lists: `budget.trials=50`, `baselines.0.optimizer=sgd`. A key that holds dots itself
    (a nested parameter's dotted name) is found before it is split.
    """
    origin = f"-o {text}"
    key, equals, value_text = text.partition("=")
    if not equals or not key.strip():
        return Fault("an override is written key.path=value", source=origin)
    try:
        value = parse_value(value_text)
    except yaml.YAMLError as error:
        return Fault(f"not valid YAML: {getattr(error, 'problem', error)}", source=origin)
    container: Any = source.data
    path: ConfigPath = ()
    rest = key.strip().split(".")
    while True:
        if isinstance(container, dict):
            whole = ".".join(rest)
            part: str | int = whole if whole in container else rest[0]
            rest = [] if part == whole else rest[1:]
        elif isinstance(container, list) and rest[0].isdigit() and int(rest[0]) < len(container):
            part = int(rest[0])
            rest = rest[1:]
        else:
            return Fault(f"'{rest[0]}' leads nowhere in what the file has there", path, source=origin)
        path = (*path, part)
        if not rest:
            break
        if isinstance(container, dict) and not isinstance(container.get(part), dict | list):
            container[part] = {}
        container = container[part]
    container[part] = value
    source.lines = {known: line for known, line in source.lines.items() if known[: len(path)] != path}
    source.origins[path] = origin
    return None
