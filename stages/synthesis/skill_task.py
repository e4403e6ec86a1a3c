"""Write a planned row down as the task that a template quotes: query type, skills and persona, one line each.

Names, definitions and examples come from models or files, so every one is put on a single line; the caller quotes the
whole. Knows no template.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.api import Row

_EXAMPLES = 3


def task_text(row: Row) -> str:
    """Return the task of a row; definitions, examples and persona appear where the row has them."""
    definitions: Sequence[str | None] = row.get("skill_definitions") or [None] * len(row["skills"])
    skills = [_named(name, definition) for name, definition in zip(row["skills"], definitions, strict=True)]
    lines = [f"Query type: {_named(row['query_type'], row['query_type_definition'])}"]
    examples = [_one_line(e) for e in (row.get("query_type_examples") or [])[:_EXAMPLES]]
    if examples:
        lines.append(f"Such as: {' / '.join(examples)}")
    lines.append(f"Skills: {'; '.join(skills)}")
    if row.get("persona"):
        lines.append(f"Who asks: {_spoken(row['persona'])}")
    return "\n".join(lines)


def _named(name: str, definition: str | None) -> str:
    meaning = _one_line(definition or "").rstrip(".")
    return f"{_spoken(name)} ({meaning})" if meaning else _spoken(name)


def _spoken(name: str) -> str:
    return _one_line(name.replace("_", " "))


def _one_line(text: str) -> str:
    return " ".join(text.split())
