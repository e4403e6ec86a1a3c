"""Load a set of rules from a file: the published lists, the rows of a run, or a list written by hand.

JSON: an array of texts, or an object of named arrays as in the release of AutoRule. JSON Lines and Parquet: rows with
`rule` and, as they like, `rule_id` and `kept` (rows that `validate_rules` did not keep are left out). A file that
cannot be read in full ends the run before it starts: a set with a rule less gives other scores.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.api import Json, PrerequisiteError
from stages.rules.rule_texts import folded, rule_id_of
from stages.sources.arrowfiles import InputFile, arrow_batches, arrow_schema
from stages.sources.inputs import file_digest
from stages.sources.jsonfiles import Broken, read_records


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its id, and its text on one line."""

    rule_id: str
    text: str


def load_rules(path: Path, rule_set: str | None = None) -> tuple[Rule, ...]:
    """Return the rules of a file in its order.

    Args:
        path: a .json, .jsonl, .ndjson or .parquet file.
        rule_set: which of several named lists of a JSON object.

    Raises:
        PrerequisiteError: if the file is missing or damaged, has no rule to use, or has a rule or an id twice.
    """
    if not path.is_file():
        raise PrerequisiteError(f"rule set '{path}' is not there; a relative path is taken from the recipe's folder")
    if rule_set is not None and path.suffix != ".json":
        raise PrerequisiteError(f"rule set '{path}' is one list; leave 'rule_set' out")
    records = _json_entries(path, rule_set) if path.suffix == ".json" else _rows(path)
    placed = [(r, f"entry {i} of rule set '{path}'") for i, r in enumerate(records, 1)]
    found = [_rule(record, where) for record, where in placed if _is_kept(record, where)]
    if not found:
        none = (
            f"none of its {len(placed)} rows is 'kept'; loosen the bounds of validate_rules"
            if placed
            else "it is empty"
        )
        raise PrerequisiteError(f"rule set '{path}' holds no rule to use: {none}, or give another file")
    _refuse_twice([folded(r.text) for r in found], "rule", path)
    _refuse_twice([r.rule_id for r in found], "id", path)
    return tuple(found)


def rules_digest(path: Path) -> Json:
    """Return name and SHA-256 of the file.

    Raises:
        PrerequisiteError: if it cannot be read.
    """
    return file_digest(InputFile(path.name, path, "json"))


def _json_entries(path: Path, rule_set: str | None) -> Sequence[Json]:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as e:
        raise PrerequisiteError(f"rule set '{path}' cannot be read as JSON: {e}") from None
    if isinstance(value, dict):
        names = ", ".join(sorted(value)) or "none"
        if rule_set is None or rule_set not in value:
            raise PrerequisiteError(f"rule set '{path}' has lists by name ({names}); set 'rule_set' to one of them")
        value = value[rule_set]
    elif rule_set is not None:
        raise PrerequisiteError(f"rule set '{path}' is one list; leave 'rule_set' out")
    if not isinstance(value, list):
        raise PrerequisiteError(f"rule set '{path}' holds {type(value).__name__}; expected a list of rules")
    return value


def _rows(path: Path) -> Iterable[Json]:
    if path.suffix == ".parquet":
        file = InputFile(path.name, path, "parquet")
        wanted = [n for n in ("rule_id", "rule", "kept") if n in arrow_schema(file).names]
        return (row for batch in arrow_batches(file, wanted) for row in batch.to_pylist())
    if path.suffix not in (".jsonl", ".ndjson"):
        raise PrerequisiteError(f"rule set '{path}' has the ending '{path.suffix}'; expected .json, .jsonl or .parquet")
    return read_records(path)


def _is_kept(record: Json, where: str) -> bool:
    kept = record.get("kept") if isinstance(record, Mapping) else None
    if not isinstance(kept, bool | None):
        raise PrerequisiteError(f"{where} has 'kept' {kept!r}; expected true or false, or leave it out")
    return kept is not False


def _rule(record: Json, where: str) -> Rule:
    if isinstance(record, Broken):
        raise PrerequisiteError(f"{where} cannot be read: {record.message}; mend or remove it")
    text, rule_id = (record.get("rule"), record.get("rule_id")) if isinstance(record, Mapping) else (record, None)
    if not isinstance(text, str) or not folded(text):
        raise PrerequisiteError(f"{where} has no rule; expected a text, or a row with the text 'rule'")
    if not isinstance(rule_id, str | None) or rule_id == "":
        raise PrerequisiteError(f"{where} has a 'rule_id' that is no text; leave it out to have one made")
    if any("\ud800" <= c <= "\udfff" for c in text + (rule_id or "")):
        raise PrerequisiteError(f"{where} holds lone surrogates, which are no text; mend or remove it")
    return Rule(rule_id or rule_id_of(text), " ".join(text.split()))


def _refuse_twice(values: Sequence[str], what: str, path: Path) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise PrerequisiteError(f"the {what} '{twice[0]}' stands twice in rule set '{path}'; remove one")
