"""What is judged and what people said: labelled items, read from the rows of the source that an audit stands on.

An item is a set of responses to one prompt with labels: the rows of a prompt, or one pair row. Knows no annotator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from pipeline.store.manifest import StageView

Kind = Literal["labelled", "tie", "unlabelled", "incomplete"]

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
    """

    id: str
    subset: str
    responses: list[str] = field(default_factory=list)
    labels: list[float | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """Return whether a better response is known; `incomplete` where fewer than two responses were read."""
        if len(self.responses) < 2:
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
    return _of_pairs(source) if "response_a" in source.columns else _of_responses(source)


def _of_responses(source: StageView) -> dict[str, Item]:
    items: dict[str, Item] = {}
    for table in source.tables(["id", "prompt_id", "response", "label", "subset"]):
        for row in table.to_pylist():
            item = items.setdefault(row["prompt_id"], Item(row["prompt_id"], row["subset"]))
            item.responses.append(row["id"])
            item.labels.append(row["label"])
            item.lengths.append(len(row["response"]))
    return items


def _of_pairs(source: StageView) -> dict[str, Item]:
    wanted = ["id", "label", "subset", "response_a", "response_b", "response_a_id", "response_b_id"]
    return {
        row["id"]: Item(
            row["id"],
            row["subset"],
            [row["response_a_id"], row["response_b_id"]],
            list(_PAIR_LABELS[row["label"]]),
            [len(row["response_a"]), len(row["response_b"])],
        )
        for table in source.tables(wanted)
        for row in table.to_pylist()
    }
