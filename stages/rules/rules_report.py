"""Tables about verdicts: how often each rule was kept, did not apply or could not be read. Reads the books only."""

from __future__ import annotations

from pipeline.api import ReportTable, StageBooks
from stages.rules.verdict_replies import NO, NOT_APPLICABLE, YES

_KINDS = (YES, NO, NOT_APPLICABLE, None)


def verdict_tables(books: StageBooks) -> list[ReportTable]:
    """Return a table with a line for each rule, in the order of the set; responses set aside are not counted."""
    counts: dict[str, dict[int | None, int]] = {}
    cut = 0
    for batch in books.rows(["rule_texts", "verdicts", "conversation_cut"]):
        for row in batch.to_pylist():
            cut += row["conversation_cut"]
            for rule, verdict in zip(row["rule_texts"], row["verdicts"], strict=True):
                counts.setdefault(rule, dict.fromkeys(_KINDS, 0))[verdict] += 1
    lines = tuple((rule, *(of_rule[kind] for kind in _KINDS)) for rule, of_rule in counts.items())
    note = f"Of {books.rows_out:,} responses {cut:,} were shown to the verifier in part only."
    return [ReportTable("Verdicts by rule", ("rule", "yes", "no", "not applicable", "unreadable"), lines, note)]
