"""YAML text as plain data, with the line of every key: what is allowed in it, and how much."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from hpo.spec import scalars
from hpo.spec.faults import ConfigPath, Fault
from hpo.spec.recordable import DEEPEST

MOST_BYTES = 4_000_000  # of a file
MOST_ENTRIES = 200_000  # keys and values, with what aliases repeat: some seconds of reading


class Unreadable(Exception):
    """A text is no YAML that can be read. line: where, None if that is not known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's scalars: `1e-5` is a number; `off`, `1:30` and `2024-01-01` are text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Raises Unreadable where nodes are nested too deeply for the recursion that they are made by."""
        self._level += 1
        if self._level > DEEPEST:
            raise Unreadable(_TOO_DEEP, self.peek_event().start_mark.line + 1)  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)
        self._level -= 1
        return node


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


class _LineDumper(_Dumper):
    """Keeps text with line breaks on one line, by escapes."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write what stands in two places twice: `*id001` is nothing for people to read."""
        return True


def _escaped(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_LineDumper.add_representer(str, _escaped)


def dump_source(data: Mapping[str, Any]) -> str:
    """Return data as YAML that `parse_source` reads back as it was."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True)
    return text


def in_one_line(value: Any) -> str:
    """Return plain data as YAML on one line, to stand behind a key or the dash of a list."""
    text: str = yaml.dump(
        value, Dumper=_LineDumper, sort_keys=False, default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("...\n").strip()


_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep, or an anchor holds itself"
_TOO_MANY = f"it has more than {MOST_ENTRIES:,} entries, counting what aliases repeat"


def plain(text: str) -> tuple[Any, dict[ConfigPath, int], list[Fault]]:
    """Return a YAML text as plain data, the line of every key (none if the text is empty), and the faults in it.

    Raises Unreadable.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:  # control characters: a binary file that happens to be UTF-8
        raise Unreadable(f"not a YAML text file: {error.reason}") from None
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise Unreadable(f"not valid YAML: {error.problem or error.context}", line) from None
    except (ValueError, OverflowError) as error:  # of a number in the YAML itself: an escape, a version
        raise Unreadable(f"not valid YAML: {error}", loader.line + 1) from None
    lines: dict[ConfigPath, int] = {}
    builder = _Builder(loader)
    data = None if node is None else builder.value(node, (), lines)
    return data, lines, builder.faults


class _Builder:
    """Turns nodes into plain data, noting each key's line; repeated and odd keys become faults."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._left = MOST_ENTRIES
        self._merging = 0
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: ConfigPath, lines: dict[ConfigPath, int]) -> Any:
        """Return a node's data. lines: takes the lines of its keys. Raises Unreadable if it is too much."""
        line = node.start_mark.line + 1
        lines.setdefault(path, line)
        self._left -= 1
        if self._left < 0:
            raise Unreadable(_TOO_MANY, line)
        if len(path) > DEEPEST:  # aliases in aliases
            raise Unreadable(_TOO_DEEP, line)
        if node.tag not in _PLAIN:
            self.faults.append(Fault(f"the tag {node.tag!r} is not allowed", path, line, remedy="write plain YAML"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, lines)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index), lines) for index, child in enumerate(node.value)]
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError):
            self.faults.append(Fault(f"this is no {node.tag.removeprefix(_TAG)}", path, line))
            return None
        if isinstance(value, float) and _is_rounded_away(value, node.value):
            fate = "zero" if value == 0 else "infinite"
            self.faults.append(Fault(f"the number {node.value[:40]} would be {fate}: floats end at 1e±308", path, line))
        return _paired(value) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, path: ConfigPath, lines: dict[ConfigPath, int]) -> dict[str, Any]:
        own: set[str] = set()
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _TAG + "merge":  # `<<: *base`, or a list of them: own keys win, then earlier ones
                for base in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    result = {**self._merged(base, path, lines, line), **result}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.append(Fault("a key must be a word", path, line))
                continue
            key = _paired(key_node.value)  # as written: `on` is a name like any other
            if key in own:
                first = lines[(*path, key)]
                self.faults.append(Fault(f"the key is repeated (first on line {first})", (*path, key), line))
            own.add(key)
            lines[(*path, key)] = line
            result[key] = self.value(value_node, (*path, key), lines)
        return result

    def _merged(self, base: yaml.Node, path: ConfigPath, lines: dict[ConfigPath, int], line: int) -> dict[str, Any]:
        """Return what `<<` brings in, adding the lines of keys that have none yet."""
        if not isinstance(base, yaml.MappingNode):
            self.faults.append(Fault("'<<' takes a mapping, or a list of them", path, line))
            return {}
        self._left -= 1
        self._merging += 1
        if self._merging > DEEPEST:  # an anchor that merges itself
            raise Unreadable(_TOO_DEEP, line)
        found: dict[ConfigPath, int] = {}
        result = self._mapping(base, path, found)
        self._merging -= 1
        for place, at in found.items():
            lines.setdefault(place, at)
        return result


def _is_rounded_away(value: float, text: str) -> bool:
    """Whether a number that is written in digits is too large or too small for a float."""
    if math.isinf(value):
        return text[-1].isdigit()
    return value == 0 and any(digit in "123456789" for digit in re.split("[eE]", text)[0])


def _paired(text: str) -> str:
    r"""Return a text in which escapes in pairs, as JSON has them (`"\\ud83d\\ude00"`), are one character."""
    if not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
