"""What is judged and what people said: labelled items, read from the rows of the source that an audit stands on.

An item is a set of responses to one prompt with labels: the rows of a prompt, or one pair row. Knows no annotator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import pyarrow as pa

from pipeline.store.manifest import StageView

Kind = Literal["labelled", "tie", "unlabelled", "incomplete"]

_OF_RESPONSES = ("prompt_id", "response", "response_count")
_OF_PAIRS = ("response_a", "response_b", "response_a_id", "response_b_id")

_PAIR_LABELS: Mapping[str | None, tuple[float | None, float | None]] = {
    "a": (1.0, 0.0),
    "b": (0.0, 1.0),
    "tie": (0.5, 0.5),
    None: (None, None),
}


@dataclass(slots=True)
class Item:
    """Responses to one prompt with labels.

    Attributes:
        id: of the prompt for response rows, of the row for pair rows.
        subset: the part of the benchmark.
        responses: ids of the responses.
        labels: one for each, higher is better; None where people said nothing.
        lengths: characters of each response.
        size: how many responses the file gives, None where the source does not say.
    """

    id: str
    subset: str
    responses: list[str] = field(default_factory=list)
    labels: list[float | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    size: int | None = None

    @property
    def kind(self) -> Kind:
        """Return whether a better response is known; `incomplete` where not all responses were read, or fewer than two.

        A limit on rows may cut the last item, which would then be easier, or harder, than the file has it.
        """
        if len(self.responses) < 2 or self.size not in (None, len(self.responses)):
            return "incomplete"
        if None in self.labels:
            return "unlabelled"
        return "labelled" if len(set(self.labels)) > 1 else "tie"

    @property
    def known(self) -> list[float]:
        """Return the labels of an item that has all of them."""
        return [label for label in self.labels if label is not None]

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield the places of each two responses with unlike labels."""
        for i, j in combinations(range(len(self.responses)), 2):
            if self.labels[i] != self.labels[j]:
                yield i, j


def read_items(source: StageView) -> dict[str, Item]:
    """Return the items of a labelled source, in its order, by id."""
    items: dict[str, Item] = {}
    for table in source.tables(columns_of_items(source.columns)):
        add_rows(items, table)
    return items


def columns_of_items(columns: Sequence[str]) -> list[str]:
    """Return those of a labelled source's columns that items are made of."""
    wanted = ("id", "label", "subset", *(_OF_PAIRS if "response_a" in columns else _OF_RESPONSES))
    return [column for column in wanted if column in columns]


def add_rows(items: dict[str, Item], table: pa.Table) -> list[Item]:
    """Add rows of a labelled source to its items, and return the items that they belong to."""
    pairs = "response_a" in table.column_names
    return [(_add_pair if pairs else _add_response)(items, row) for row in table.to_pylist()]


def _add_response(items: dict[str, Item], row: Mapping[str, Any]) -> Item:
    item = items.setdefault(row["prompt_id"], Item(row["prompt_id"], row["subset"], size=row.get("response_count")))
    item.responses.append(row["id"])
    item.labels.append(row["label"])
    item.lengths.append(len(row["response"]))
    return item


def _add_pair(items: dict[str, Item], row: Mapping[str, Any]) -> Item:
    items[row["id"]] = Item(
        row["id"],
        row["subset"],
        [row["response_a_id"], row["response_b_id"]],
        list(_PAIR_LABELS[row["label"]]),
        [len(row["response_a"]), len(row["response_b"])],
    )
    return items[row["id"]]
