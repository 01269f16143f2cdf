"""The JSON schema of sweep files, from the same models that validate them."""

from __future__ import annotations

from typing import Any

from hpo.spec.grammar import SERVICE_KEYS, SweepKeys


def json_schema() -> dict[str, Any]:
    """Return a JSON schema (draft 2020-12) that editors complete and check sweep files with."""
    schema = SweepKeys.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "hpo sweep file"
    properties = schema["properties"]
    rules = properties["early_terminate"]
    one, several = rules["oneOf"]
    words = list(one["discriminator"]["mapping"])  # `asha` is short for {type: asha}
    several["items"] = {"anyOf": [several["items"], {"enum": words}]}
    properties["early_terminate"] = {"anyOf": [one, {"enum": [*words, None]}, several]}
    for key in SERVICE_KEYS:
        properties[key] = {"description": "a key of W&B's service; accepted without effect"}
    parameters = schema["$defs"]["ParameterKeys"]["properties"]
    parameters["parameters"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/ParameterKeys"}}
    return schema
