"""Validating what a sweep file says by the grammar, and saying in our words what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hpo.section import Section
from hpo.spec.faults import ConfigPath, Fault, did_you_mean, shortened
from hpo.spec.grammar import SweepKeys, long_form
from hpo.spec.space import show


def validate_section(key: str, value: Any, path: ConfigPath) -> tuple[Any, list[Fault]]:
    """Validate one top-level section; return its model (None if faulty) and the faults."""
    if key == "engine" and isinstance(value, dict) and "type" not in value:
        value = {**value, "type": "local"}
    return validate(_adapter(key), long_form(key, value), path, _known_keys(key, value))


@lru_cache
def _adapter(key: str) -> TypeAdapter[Any]:
    field = SweepKeys.model_fields[key]
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]


def validate(
    adapter: TypeAdapter[Any], value: Any, path: ConfigPath, keys: Iterable[str] = ()
) -> tuple[Any, list[Fault]]:
    """Validate a value; return the result (None if faulty) and one fault for each place that is wrong.

    keys: the keys that are known in it, for suggestions.
    """
    try:
        return adapter.validate_python(value, strict=True), []
    except ValidationError as error:
        faults: dict[ConfigPath, Fault] = {}
        for details in error.errors(include_url=False):
            fault = _fault(details, value, path, keys)
            if (other := faults.get(fault.path)) is not None:  # a union: its members' rules are alternatives
                rule = other.message.partition(", but got")[0]
                fault = replace(fault, message=f"{rule} or {fault.message.removeprefix('must be ')}")
            faults[fault.path] = fault
        if isinstance(value, list) and len(faults) > 1:  # a union: it was meant as the list, and not as the word
            faults.pop(path, None)
        return None, list(faults.values())


def _known_keys(key: str, value: Any) -> list[str]:
    """Return the keys of the section that `value` seems to be, of all that it may be if it says no type."""
    sections = _sections_in(SweepKeys.model_fields[key].annotation)
    kind = value.get("type") if isinstance(value, dict) else None
    fitting = [section for section in sections if kind in _types(section)]
    return [name for section in fitting or sections for name in section.model_fields]


def _sections_in(annotation: Any) -> list[type[Section]]:
    """Return the sections that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def _types(section: type[Section]) -> tuple[str, ...]:
    """Return the types that a section names itself by."""
    field = section.model_fields.get("type")
    return get_args(field.annotation) if field is not None else ()


def _fault(details: ErrorDetails, section: Any, path: ConfigPath, keys: Iterable[str]) -> Fault:
    """Put one of pydantic's errors into our words: the rule, the value, the remedy."""
    where = (*path, *_location(details, section))
    given = details["input"]
    got = f", but got {shortened(repr(given) if isinstance(given, str) else show(given))}"
    context = details.get("ctx", {})
    kind = details["type"]
    if kind == "extra_forbidden":
        return Fault(f"unknown key {shortened(str(where[-1]))!r}", where, remedy=did_you_mean(str(where[-1]), keys))
    if kind == "missing":
        return Fault(f"the key {str(where[-1])!r} is missing", where[:-1], remedy=f"add '{where[-1]}: ...'")
    if kind == "union_tag_invalid":
        options = [option.strip("' ") for option in str(context["expected_tags"]).split(",")]
        tag = str(context["tag"])
        return Fault(f"unknown type {shortened(tag)!r}", (*where, "type"), remedy=did_you_mean(tag, options))
    if kind == "union_tag_not_found":
        return Fault("the key 'type' is missing", where, remedy="say which, e.g. {type: asha}")
    if kind == "literal_error":
        options = [option.strip("' ") for option in str(context["expected"]).replace(" or ", ", ").split(",")]
        hint = did_you_mean(str(given), options)
        remedy = hint if hint.startswith("did you mean") else ""
        return Fault(f"must be {_any_of(options)}{got}", where, remedy=remedy)
    rule = {
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "string_type": "must be text",
        "bool_type": "must be true or false",
        "list_type": "must be a list",
        "dict_type": "must be a mapping",
        "model_type": "must be a mapping",
        "model_attributes_type": "must be a mapping",
        "greater_than": f"must be greater than {show(context.get('gt'))}",
        "greater_than_equal": f"must be at least {show(context.get('ge'))}",
        "less_than": f"must be less than {context.get('lt')}",
        "less_than_equal": f"must be at most {show(context.get('le'))}",
        "string_pattern_mismatch": "must be letters, digits, spaces and . _ + - only, and begin with a letter or digit",
        "string_too_short": "must not be empty",
        "finite_number": "must be finite",
        "too_short": f"must be a list of at least {context.get('min_length')}",
        "too_long": f"must have at most {context.get('max_length')} entries",
        "value_error": str(context.get("error")),
    }.get(kind, details["msg"])
    return Fault(rule if kind == "value_error" else rule + got, where)


def _any_of(options: list[str]) -> str:
    return options[0] if len(options) == 1 else "one of " + ", ".join(options)


def _location(details: ErrorDetails, section: Any) -> ConfigPath:
    """Return the error's path as it stands in the file: pydantic adds the names of union members to it."""
    path: list[str | int] = []
    container = section
    last = len(details["loc"]) - 1
    for index, part in enumerate(details["loc"]):
        in_list = isinstance(container, list) and isinstance(part, int)
        if in_list or (isinstance(container, dict) and part in container):
            path.append(part)
            container = container[part]
        elif index == last and details["type"] == "missing":
            path.append(part)
    return tuple(path)
