"""Tables about verdicts: how often each rule was kept, did not apply or could not be read. Reads the books only."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.api import ReportTable, StageBooks
from stages.rules.rule_sets import Rule
from stages.rules.verdict_replies import NO, NOT_APPLICABLE, YES

_KINDS = (YES, NO, NOT_APPLICABLE, None)


def verdict_tables(books: StageBooks, rules: Sequence[Rule]) -> list[ReportTable]:
    """Return a table with a line for each rule, in the order of the set; responses set aside are not counted."""
    counts = {r.rule_id: dict.fromkeys(_KINDS, 0) for r in rules}
    cut = 0
    for batch in books.rows(["rule_ids", "verdicts", "conversation_cut"]):
        for row in batch.to_pylist():
            cut += row["conversation_cut"]
            for rule_id, verdict in zip(row["rule_ids"], row["verdicts"], strict=True):
                counts[rule_id][verdict] += 1
    lines = tuple((r.text, *(counts[r.rule_id][kind] for kind in _KINDS)) for r in rules)
    note = f"Of {books.rows_out:,} responses {cut:,} were shown to the verifier in part only."
    return [ReportTable("Verdicts by rule", ("rule", "yes", "no", "not applicable", "unreadable"), lines, note)]
