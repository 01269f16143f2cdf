"""Each key of a sweep file, as the grammar has it (hpo/spec/grammar.py, hpo/stopping)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from handbook.markdown import code, first_sentence, table
from hpo.spec.schema import json_schema
from hpo.spec.space import show

Schema = Mapping[str, Any]
_DEEPEST = 3  # parameters and stacks hold parameters again


class Key(NamedTuple):
    """A key, by its whole path."""

    path: str
    values: str
    default: str
    says: str


def key_lines() -> list[str]:
    """Return the section on the keys of a sweep file."""
    rows = [(code(key.path), key.values, key.default, key.says) for key in sweep_keys()]
    head = ["## Keys of a sweep file", "", "[sweep-files.md](sweep-files.md) tells what they mean together."]
    return [*head, *table(("key", "values", "default", ""), rows)]


def sweep_keys() -> list[Key]:
    """Return all keys, but those of W&B's service, which have no effect."""
    schema = json_schema()
    return list(_keys(schema, schema["$defs"], ""))


def _keys(section: Schema, sections: Mapping[str, Schema], path: str) -> Iterator[Key]:
    for name, found in section["properties"].items():
        if "without effect" in found.get("description", ""):
            continue
        whole = f"{path}{name}"
        below = _sections(found)
        if not (name == "type" and path):
            says = found.get("description") or "".join(sections[each].get("description", "") for each, _ in below[:1])
            yield Key(whole, _values(found), _default(found), first_sentence(says))
        for reference, inner in below:
            if reference == "ParameterKeys" and path:
                continue  # nested parameters
            kind = sections[reference]["properties"].get("type", {}).get("const")
            deeper = f"{whole}.NAME." if inner else f"{whole}." if kind is None else f"{whole} ({kind})."
            if kind is not None:
                yield Key(f"{whole}.type: {kind}", "", "", first_sentence(sections[reference]["description"]))
            yield from _keys(sections[reference], sections, deeper)


def _sections(found: Schema) -> list[tuple[str, bool]]:
    """Return the sections that may stand there, each with whether names of the user's come between."""
    inner = found.get("additionalProperties")
    places = [(found, False), *((each, False) for each in [*found.get("anyOf", []), *found.get("oneOf", [])])]
    places += [(inner, True)] if isinstance(inner, dict) else []
    places += [(found["items"], False)] if isinstance(found.get("items"), dict) else []
    for each in found.get("anyOf", []):
        places += [(one, False) for one in each.get("oneOf", [])]
    names = [(place["$ref"].rpartition("/")[2], named) for place, named in places if "$ref" in place]
    return list(dict.fromkeys(names))


def _values(found: Schema) -> str:
    if "enum" in found:
        return " ".join(code(show(word)) for word in found["enum"])
    if "const" in found:
        return code(show(found["const"]))
    if several := found.get("anyOf", found.get("oneOf")):
        texts = [_values(each) for each in several if each.get("type") != "null"]
        return ", or ".join(dict.fromkeys(filter(None, texts)))
    names = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "`true` `false`"}
    kind = found.get("type")
    if kind in ("integer", "number"):
        return names[kind] + _bounds(found)
    if kind == "array":
        inner = _values(found.get("items", {}))
        return f"a list of: {inner}" if inner else "a list"
    return "keys" if kind == "object" or "$ref" in found else names.get(kind, "") if isinstance(kind, str) else ""


def _bounds(found: Schema) -> str:
    low = found.get("minimum", 1 if found.get("exclusiveMinimum") == 0 and found["type"] == "integer" else None)
    text = "" if low is None else f" from {low:g}"
    text = " above 0" if not text and found.get("exclusiveMinimum") == 0 else text
    high = found.get("maximum", 1e9)
    return f"{text} to {high:g}" if high < 1e9 else text


def _default(found: Schema) -> str:
    default = found.get("default")
    return "" if default is None or isinstance(default, dict | list) else code(show(default))
