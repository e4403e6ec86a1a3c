"""The file formats by name: the columns by which each is known, and how its records are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.api import PrerequisiteError
from stages.sources.preference_formats import hh_rlhf, llmbar, mt_bench, plain_pairs, reward_bench
from stages.sources.preference_formats.comparison import Comparison

FormatName = Literal["pairs", "llmbar", "rewardbench", "rewardbench2", "mt_bench", "hh_rlhf"]


@dataclass(frozen=True, slots=True)
class Format:
    """How records of one format are read.

    Attributes:
        required: columns that a file must have.
        optional: columns that are read where they are.
        read: makes the comparison of a record, or raises `RowError`.
        nested: its columns hold lists, which no CSV file can.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Comparison]
    nested: bool = False


FORMATS: Mapping[FormatName, Format] = {
    "pairs": Format(plain_pairs.REQUIRED, plain_pairs.OPTIONAL, plain_pairs.read),
    "llmbar": Format(llmbar.REQUIRED, llmbar.OPTIONAL, llmbar.read),
    "mt_bench": Format(mt_bench.REQUIRED, mt_bench.OPTIONAL, mt_bench.read, nested=True),
    "rewardbench2": Format(reward_bench.REQUIRED, reward_bench.OPTIONAL, reward_bench.read_lists, nested=True),
    "rewardbench": Format(reward_bench.REQUIRED, reward_bench.OPTIONAL, reward_bench.read_one),
    "hh_rlhf": Format(hh_rlhf.REQUIRED, hh_rlhf.OPTIONAL, hh_rlhf.read),
}


def recognised(records: Sequence[Mapping[str, Any]], where: str) -> FormatName:
    """Return the format whose columns the records have.

    Args:
        records: some of the first ones, at least one.
        where: names the file in an error.

    Raises:
        PrerequisiteError: if they have those of none.
    """
    found = {name for record in records for name in record}
    for name, form in FORMATS.items():
        if set(form.required) <= found and (name != "rewardbench2" or _has_lists(records)):
            return name
    known = "; ".join(f"{name}: {', '.join(form.required)}" for name, form in FORMATS.items())
    raise PrerequisiteError(
        f"{where} has columns of no known format: {', '.join(sorted(found)) or 'none'}. Known are: {known}. Name its "
        "format, or write it in the format 'pairs'"
    )


def _has_lists(records: Sequence[Mapping[str, Any]]) -> bool:
    return any(isinstance(record.get("chosen"), list) for record in records)


def check_columns(form: Format, name: str, found: Sequence[str], where: str) -> None:
    """Refuse a file that lacks columns of its format.

    Raises:
        PrerequisiteError: naming them.
    """
    missing = [column for column in form.required if column not in found]
    if missing:
        raise PrerequisiteError(
            f"{where} lacks {', '.join(missing)} of format '{name}'; it has {', '.join(sorted(found)) or 'no columns'}"
        )
