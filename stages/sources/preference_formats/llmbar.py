"""LLMBar: `input`, `output_1`, `output_2`, `label` (1 or 2, the better output), as the authors' `dataset.json` files.

Source: Zeng et al., "Evaluating large language models at evaluating instruction following", arXiv:2310.07641; the
same repository keeps FairEval, LLMEval^2 and MT-Bench comparisons in this shape. The records have no ids and no ties,
and the order of the outputs means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.sources.preference_formats.comparison import (
    BETTER,
    WORSE,
    Comparison,
    bad_label,
    prompt_of,
    response_of,
)

REQUIRED = ("input", "output_1", "output_2", "label")
OPTIONAL = ()


def read(record: Mapping[str, Any]) -> Comparison:
    """Return the comparison of one record.

    Raises:
        RowError: with a `source.*` or `preferences.*` code.
    """
    label = str(record.get("label"))
    if label not in ("1", "2"):
        raise bad_label("label", record.get("label"), "1 or 2")
    outputs = (response_of(record.get("output_1"), "output_1"), response_of(record.get("output_2"), "output_2"))
    labels = (BETTER, WORSE) if label == "1" else (WORSE, BETTER)
    return Comparison(None, (prompt_of(record, "input"),) * 2, outputs, labels)
