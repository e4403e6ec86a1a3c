"""Pair rows as they are published, and the rules that every published pair keeps.

Trainers want `prompt`, `chosen` and `rejected` as lists of messages; scores are float64, which reads back as written.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import CorruptStore, PrerequisiteError
from pipeline.schema import MESSAGES

_ORDER = (
    "id",
    "prompt_id",
    "prompt",
    "chosen",
    "rejected",
    "score_chosen",
    "score_rejected",
    "margin",
    "rule",
    "chosen_id",
    "rejected_id",
    "candidates",
)
_ROLE = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
_SCORES = ("score_chosen", "score_rejected", "margin")
_ROLES = ("system", "user", "assistant")
_FIRST_WORDS = 8

BoolArray = NDArray[np.bool_]
Finding = tuple[BoolArray, str]


def published_schema(source: pa.Schema) -> pa.Schema:
    """Return the columns of published pairs: the known ones in fixed order, then further scalar ones.

    Raises:
        PrerequisiteError: if a text column is neither text nor messages, or a score is no number.
    """
    known = [_known_field(source.field(name)) for name in _ORDER if name in source.names]
    return pa.schema(known + [f.remove_metadata() for f in source if f.name not in _ORDER and _is_scalar(f.type)])


def _known_field(field: pa.Field) -> pa.Field:
    if field.name in _ROLE:
        if field.type != MESSAGES and not _is_text(field.type):
            raise PrerequisiteError(f"column '{field.name}' holds {field.type}; expected text or a list of messages")
        return pa.field(field.name, MESSAGES)
    if field.name in _SCORES:
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            raise PrerequisiteError(f"column '{field.name}' holds {field.type}; expected a number")
        return pa.field(field.name, pa.float64())
    return pa.field(field.name, field.type)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_scalar(kind: pa.DataType) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(number or _is_text(kind))


def published_batch(batch: pa.RecordBatch, schema: pa.Schema, stage_id: str) -> pa.RecordBatch:
    """Return pair rows as published, after checking them.

    Args:
        batch: rows of the pair stage.
        schema: what `published_schema` gave, with or without metadata.
        stage_id: for messages.

    Raises:
        CorruptStore: naming the first pair that breaks a rule, and the rule.
    """
    columns = [_column(batch.column(f.name), f) for f in schema]
    out = pa.RecordBatch.from_arrays(columns, schema=schema)
    for bad, rule in _findings(out):
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            pair = str(batch.column("id")[at].as_py())[:120]
            raise CorruptStore(
                f"pair '{pair}' of stage '{stage_id}' cannot be published: {rule}. Nothing was exported; the stage "
                "that made it is at fault"
            )
    return out


def _column(values: pa.Array, field: pa.Field) -> pa.Array:
    role = _ROLE.get(field.name)
    if role is not None and values.type != MESSAGES:
        return _one_turn(values.cast(pa.string()), role)
    return values.cast(field.type)


def _one_turn(texts: pa.Array, role: str) -> pa.Array:
    turns = pa.StructArray.from_arrays([pa.repeat(role, len(texts)), texts], fields=list(MESSAGES.value_type))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(texts) + 1, dtype=np.int32)), turns)


def texts_of(messages: pa.Array) -> pa.Array:
    """Return the contents of each row's messages, joined by a line break; null contents count as empty."""
    turns = messages.flatten()
    contents = pc.fill_null(turns.field("content"), "")
    lengths = pc.fill_null(pc.list_value_length(messages), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), contents), "\n")


def _findings(batch: pa.RecordBatch) -> Iterator[Finding]:
    """Yield each rule with where it is broken."""
    for name in ("id", "prompt_id"):
        yield _mask(pc.is_null(batch.column(name))), f"it has no {name}"
    for name in _ROLE:
        yield _bad_turns(batch.column(name)), f"'{name}' must be messages with content, role system, user or assistant"
    texts = {name: texts_of(batch.column(name)).cast(pa.binary()).to_pylist() for name in ("chosen", "rejected")}
    for name, values in texts.items():
        yield np.array([not text.strip() for text in values], dtype=bool), f"'{name}' is empty"
    pairs = zip(texts["chosen"], texts["rejected"], strict=True)
    yield np.array([_same(one, other) for one, other in pairs], dtype=bool), "chosen and rejected have the same text"
    yield from _nonfinite(batch)
    yield from _wrong_order(batch)


def _bad_turns(messages: pa.Array) -> BoolArray:
    bad = _mask(pc.equal(pc.fill_null(pc.list_value_length(messages), 0), 0))
    turns = messages.flatten()
    role, content = turns.field("role"), turns.field("content")
    wrong = _mask(pc.or_(pc.is_null(content), pc.invert(pc.is_in(role, value_set=pa.array(_ROLES)))))
    bad[pc.list_parent_indices(messages).to_numpy()[wrong]] = True
    return bad


def _same(one: bytes, other: bytes) -> bool:
    """Compare as pair selection does: runs of ASCII white space count as one; beginnings first, which settles most."""
    begin = slice(0, _FIRST_WORDS)
    return (
        one.split(None, _FIRST_WORDS)[begin] == other.split(None, _FIRST_WORDS)[begin] and one.split() == other.split()
    )


def _nonfinite(batch: pa.RecordBatch) -> Iterator[Finding]:
    for field in batch.schema:
        if pa.types.is_floating(field.type):
            finite = pc.is_finite(batch.column(field.name))
            missing_is_fine = field.name not in _SCORES
            yield ~_mask(pc.fill_null(finite, missing_is_fine)), f"'{field.name}' is no finite number"


def _wrong_order(batch: pa.RecordBatch) -> Iterator[Finding]:
    """Equal scores are fine only where `tied` says that several candidates share the best score."""
    none = np.zeros(batch.num_rows, dtype=bool)
    names = batch.schema.names
    tied = _mask(pc.fill_null(pc.greater(batch.column("tied").cast(pa.int64()), 1), False)) if "tied" in names else none
    margins = {}
    if {"score_chosen", "score_rejected"} <= set(names):
        margins["score_chosen - score_rejected"] = pc.subtract(
            batch.column("score_chosen"), batch.column("score_rejected")
        )
    if "margin" in names:
        margins["margin"] = batch.column("margin")
    for what, values in margins.items():
        figures = values.to_numpy(zero_copy_only=False)
        yield (figures < 0) | ((figures == 0) & ~tied), f"{what} must be above 0, or 0 where 'tied' tells of a tie"


def _mask(values: pa.Array) -> BoolArray:
    mask: BoolArray = np.array(values.to_numpy(zero_copy_only=False), dtype=bool)
    return mask
