"""Turn one record of a list of skills into a row, and read lists that hold one name a line.

Knows nothing about folders and configs. What cannot be used raises `RowError` with a `source.*` code.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.api import RowError
from stages.replies.lists import normalised
from stages.sources.jsonfiles import MAX_RECORD, Broken
from stages.sources.records import refuse_surrogates, typed_value

SkillKind = Literal["skill", "query_type", "persona"]

MAX_NAME = 1000
"""Most characters of a name; personas are whole sentences."""


def skill_row(record: Mapping[str, Any], kind: SkillKind) -> dict[str, Any]:
    """Return the row of a record; `kind` is taken where it names none.

    Raises:
        RowError: `source.bad_name`, `source.bad_record` or `source.bad_text`.
    """
    name = record.get("name")
    if not isinstance(name, str):
        raise RowError("source.bad_name", "the name is missing or no text")
    refuse_surrogates(name, "name")
    if not normalised(name) or len(name) > MAX_NAME:
        raise RowError(
            "source.bad_name",
            f"the name has {len(name):,} characters; expected 1 to {MAX_NAME:,} with a letter a to z or a digit",
        )
    own = typed_value("kind", record.get("kind"), "string")
    if own is not None and own not in get_args(SkillKind):
        raise RowError("source.bad_record", f"kind {own!r}; expected one of {', '.join(get_args(SkillKind))}")
    texts = {c: (typed_value(c, record.get(c), "string") or "").strip() or None for c in ("topic", "raw", "definition")}
    return {
        "kind": own or kind,
        "topic": texts["topic"],
        "name": normalised(name),
        "raw": texts["raw"] or name.strip(),
        "definition": texts["definition"],
        "examples": typed_value("examples", record.get("examples"), "list<string>") or [],
    }


def read_names(path: Path) -> Iterator[dict[str, Any] | Broken]:
    """Yield a record for each line that is not blank."""
    with path.open("rb") as f:
        for number, line in enumerate(iter(lambda: f.readline(MAX_RECORD), b""), 1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            try:
                name = text.decode("utf-8").strip()
            except UnicodeDecodeError as e:
                yield Broken(number, text.decode("utf-8", "replace"), f"line {number} is not UTF-8 (byte {e.start})")
                continue
            if name:
                yield {"name": name}
