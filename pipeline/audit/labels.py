"""Whether there is anything to measure against: looked up in the labelled source before a model is loaded."""

from __future__ import annotations

import pyarrow as pa

from pipeline.audit.items import Item, add_rows, columns_of_items
from pipeline.errors import PipelineError, PrerequisiteError, StageBug
from pipeline.plan.plan import PlannedStage
from pipeline.stage import Source
from pipeline.types import Reject


def check_labels(source: PlannedStage, limit: int | None) -> None:
    """Read a labelled source up to the first item with a better and a worse response.

    Args:
        source: planned, with the columns of a labelled source.
        limit: most rows that the run takes from it.

    Raises:
        PrerequisiteError: if there is no such item, or the input is missing.
        StageBug: if the source breaks.
    """
    items: dict[str, Item] = {}
    rejects: list[str] = []
    try:
        if not _any_labelled(source, limit, items, rejects):
            raise unlabelled(source.id, len(items), _why(limit, rejects))
    except PipelineError:
        raise
    except Exception as e:
        raise StageBug(f"source '{source.id}' raised {type(e).__name__} while its labels were looked up: {e}") from e


def unlabelled(source: str, items: int, why: str = "") -> PrerequisiteError:
    """Build the error for a source of which no item has a better and a worse response."""
    return PrerequisiteError(
        f"none of the {items:,} items of '{source}' has a better and a worse response; an audit needs labels{why}"
    )


def _why(limit: int | None, rejects: list[str]) -> str:
    cut = "" if limit is None else f"; --limit {limit} counts rows, and a prompt has one for each response or pair"
    if not rejects:
        return cut
    return f"{cut}; {len(rejects):,} records are rejects, the first: {rejects[0]}"


def _any_labelled(source: PlannedStage, limit: int | None, items: dict[str, Item], rejects: list[str]) -> bool:
    assert isinstance(source.stage, Source)
    source.stage.digest()  # a file that is not there or of another format is told as such
    left = limit
    for partition in source.stage.partitions():
        for batch in source.stage.read(partition):
            if isinstance(batch, Reject):
                rejects.append(f"{batch.code}: {batch.message}")
                continue
            if "id" not in batch.schema.names:
                return True  # the runner makes its ids; the run will tell
            table = pa.Table.from_batches([batch]).select(columns_of_items(batch.schema.names))
            table = table if left is None else table.slice(0, left)
            if any(item.kind == "labelled" for item in add_rows(items, table)):
                return True
            left = None if left is None else left - table.num_rows
            if left == 0:
                return False
    return False
