"""Read a response as JSON and hold it against a JSON schema, with the library jsonschema.

The draft is the one that the schema names, else 2020-12. References to other documents are refused: nothing is fetched.
`format` is an annotation, as the standard has it, and not checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, NoReturn, Self

from pydantic import Field, model_validator

from stages.replies.fences import FENCE
from stages.verification.verdicts import NAME, CheckOptions

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class SchemaCheck(CheckOptions):
    """Passes where the response is JSON that fits the schema; without a schema, where it is JSON."""

    kind: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any] | None = None
    """One schema for all rows."""
    schema_column: str | None = Field(None, pattern=NAME)
    """The column that holds each row's schema as JSON text."""
    part: Literal["whole", "fenced"] = "whole"
    """`whole`: nothing but JSON, at most in one fence around all of it. `fenced`: the last fenced block counts."""
    time_limit_s: float = Field(5.0, gt=0)
    """Seconds of processor time; what takes longer has no verdict."""

    @model_validator(mode="after")
    def _one_schema_that_is_one(self) -> Self:
        if self.json_schema is not None and self.schema_column is not None:
            raise ValueError("a check of kind json_schema takes json_schema or schema_column, not both")
        if self.json_schema is not None and (fault := fault_of(self.json_schema)):
            raise ValueError(f"json_schema is no schema that can be used: {fault}")
        return self


def fit_schema(text: str, schema: Any, part: str) -> dict[str, Any]:
    """Return `passed` (None for a schema that cannot be used) and `note`.

    Args:
        text: the response.
        schema: the schema, as JSON values or as text; None to ask for JSON only.
        part: `whole` or `fenced`.
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            return {"passed": None, "note": "the row's schema is no JSON"}
    fault = None if schema is None else fault_of(schema)
    if fault:
        return {"passed": None, "note": f"the row's schema cannot be used: {fault}"[:300]}
    try:
        value = json.loads(json_part(text, part), parse_constant=_no_json)
    except (ValueError, RecursionError) as e:
        return {"passed": False, "note": f"no JSON: {e}"[:300]}
    return _fits(value, schema)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is none of its values")


def _fits(value: Any, schema: Any) -> dict[str, Any]:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    if schema is None:
        return {"passed": True, "note": "JSON"}
    validator = validator_for(schema, default=Draft202012Validator)(schema)
    try:
        errors = sorted(validator.iter_errors(value), key=lambda e: (e.json_path, e.message))
    except Exception as e:  # for a reference that leads nowhere; no public name of jsonschema covers it
        if type(e).__module__.partition(".")[0] not in ("jsonschema", "referencing"):
            raise
        return {"passed": None, "note": f"the schema refers to what is not there: {e}"[:300]}
    if errors:
        return {"passed": False, "note": f"{errors[0].json_path}: {errors[0].message}"[:300]}
    return {"passed": True, "note": "fits the schema"}


def fault_of(schema: Any) -> str | None:
    """Return why a schema cannot be used; None if it can."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(schema, dict | bool):
        return "a schema is an object, true or false"
    outside = [r for r in _references(schema) if not r.startswith("#")]
    if outside:
        return f"it refers to '{outside[0]}'; nothing is fetched, put it under $defs"
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as e:
        return f"{e.json_path}: {e.message}"
    return None


def json_part(text: str, part: str) -> str:
    """Return the part of a response that has to be JSON."""
    blocks = FENCE.findall(text)
    if part == "fenced":
        return str(blocks[-1]) if blocks else ""
    stripped = text.strip()
    whole = FENCE.fullmatch(stripped)
    return whole[1] if whole else stripped


def _references(schema: Any) -> Iterator[str]:
    """Yield all references to schemas, wherever they stand."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in _REFERENCES and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)
