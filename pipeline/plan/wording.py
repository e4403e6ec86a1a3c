"""Words a pydantic error the way prefmill's errors read: what, where, observed against expected, what to do."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pipeline.registry import did_you_mean

_MOST = 5


def explain_validation(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """Return one line for each of the first five mistakes.

    Args:
        error: what pydantic raised.
        model: the model that was validated; gives the known option names.
        prefix: path in front of each place, such as `stages[2].with`.
    """
    problems = error.errors(include_url=False)
    lines = [_line(dict(p), model, prefix) for p in problems[:_MOST]]
    if len(problems) > _MOST:
        lines.append(f"and {len(problems) - _MOST} more")
    return "\n".join(lines)


def _line(problem: dict[str, Any], model: type[BaseModel], prefix: str) -> str:
    where = _place(problem["loc"], prefix)
    kind = problem["type"]
    if kind == "extra_forbidden":
        word = str(problem["loc"][-1])
        known = sorted(_known_options(model, problem["loc"][:-1]))
        return f"{where}: unknown option '{word}'; known options: {', '.join(known)}.{did_you_mean(word, known)}"
    if kind == "missing":
        return f"{where}: missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    hidden = kind == "secret" or model.model_config.get("hide_input_in_errors")
    got = "" if hidden else f"; got {_short(problem.get('input'))}"
    return f"{where}: {message[0].lower()}{message[1:]}{got}"


def _place(loc: tuple[int | str, ...], prefix: str) -> str:
    out = prefix
    for part in loc:
        if isinstance(part, int):
            out += f"[{part}]"
        elif part not in ("from_", "with_"):
            out += f".{part}" if out else part
    return out or "recipe"


def _known_options(model: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    here: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        fields = getattr(here, "model_fields", {})
        info = fields.get(part) or next((f for f in fields.values() if f.alias == part), None)
        here = _inner_model(info.annotation) if info else None
    fields = getattr(here, "model_fields", {})
    return {info.alias or name for name, info in fields.items()}


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for arg in get_args(annotation):
        found = _inner_model(arg)
        if found is not None:
            return found
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
