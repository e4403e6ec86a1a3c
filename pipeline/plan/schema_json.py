"""The JSON Schema of a recipe: its own shape, and the options of every installed stage and engine."""

from __future__ import annotations

from pydantic import BaseModel

from pipeline.errors import PrerequisiteError
from pipeline.plan.recipe import Recipe
from pipeline.registry import ENGINES, STAGES, engine_class, registered, stage_class
from pipeline.types import Json


def recipe_schema() -> dict[str, Json]:
    """Return the schema; a plug-in that cannot be imported is left out, its recipes fail on their own."""
    schema = Recipe.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "prefmill recipe"
    definitions: dict[str, Json] = schema["$defs"]
    stage_rules, engine_rules = [], []
    for name in registered(STAGES):
        try:
            config = stage_class(name, "schema").config_type
        except PrerequisiteError:
            continue
        reference = _add(definitions, f"stage_{name}", config)
        stage_rules.append({"if": _equals("use", name), "then": {"properties": {"with": reference}}})
    for kind in registered(ENGINES):
        try:
            config_type = engine_class(kind, "schema").config_type
        except PrerequisiteError:
            continue
        reference = _add(definitions, f"engine_{kind}", config_type, kind)
        engine_rules.append({"if": _equals("kind", kind), "then": reference})
    definitions["StageSpec"]["allOf"] = stage_rules
    definitions["StageSpec"]["properties"]["use"]["enum"] = list(registered(STAGES))
    schema["properties"]["engines"]["additionalProperties"] = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(registered(ENGINES))}},
        "allOf": engine_rules,
    }
    return schema


def _equals(name: str, value: str) -> dict[str, Json]:
    return {"properties": {name: {"const": value}}, "required": [name]}


def _add(definitions: dict[str, Json], key: str, model: type[BaseModel], kind: str | None = None) -> dict[str, Json]:
    own = model.model_json_schema(ref_template=f"#/$defs/{key}_{{model}}")
    for name, definition in own.pop("$defs", {}).items():
        definitions[f"{key}_{name}"] = definition
    own.get("properties", {}).pop("base_folder", None)
    if kind is not None:
        own["properties"] = {"kind": {"const": kind}, **own.get("properties", {})}
    definitions[key] = own
    return {"$ref": f"#/$defs/{key}"}
