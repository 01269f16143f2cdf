"""The JSON schema of sweep files, from the same models that validate them."""

from __future__ import annotations

from typing import Any

from hpo.spec.grammar import SERVICE_KEYS, SERVICE_KEYS_OF_METRIC, SweepKeys
from hpo.spec.methods import UNGUIDED

_OF_THE_SERVICE = "a key of W&B's service; accepted without effect"


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
    said = rules["description"]
    properties["early_terminate"] = {"anyOf": [one, {"enum": [*words, None]}, several], "description": said}
    schema["required"].remove("metric")  # but for searches that look at no values, and tasks with a metric of their own
    unguided = {"program": {"type": "string"}, "method": {"enum": list(UNGUIDED)}}
    of_its_own = {"objective": {"const": "objectives.table"}}  # other tasks' default_metric no schema knows
    schema["if"] = {"anyOf": [
        {"required": ["program", "method"], "properties": unguided},
        {"required": ["objective"], "properties": of_its_own},
    ]}  # fmt: skip
    schema["else"] = {"required": ["metric"]}
    properties["report"] = {"anyOf": [properties["report"], {"type": "boolean"}]}
    for key in SERVICE_KEYS:
        properties[key] = {"description": _OF_THE_SERVICE}
    for key in SERVICE_KEYS_OF_METRIC:
        schema["$defs"]["Metric"]["properties"][key] = {"description": _OF_THE_SERVICE}
    parameters = schema["$defs"]["ParameterKeys"]["properties"]
    parameters["parameters"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/ParameterKeys"}}
    return schema
