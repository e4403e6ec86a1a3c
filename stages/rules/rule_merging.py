"""The bookkeeping of merging rules: which go into one request, and what becomes of them when the reply is there.

A source is never lost: a rule that no merged rule cites stays as it is, and so does a batch whose reply could not be
read. A merged rule that cites nothing is an invention and is handed back as such. Asks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from stages.rules.rule_replies import Cited
from stages.rules.rule_texts import cleaned, folded, why_no_rule


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule on its way.

    Attributes:
        rule: its text.
        merged_from: the collected rules that it stands for; the rule itself as long as it was not merged.
        sources: ids of the pairs that gave them, each once.
    """

    rule: str
    merged_from: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Invented:
    """A rule of a reply that cannot be taken: `why` is `cites_nothing`, `worked_example` or why it is none."""

    rule: str
    why: str


def batches(entries: Sequence[Entry], max_rules: int, max_characters: int) -> list[list[Entry]]:
    """Cut a list into runs of at most `max_rules` rules and `max_characters`; a rule longer than that stands alone."""
    out: list[list[Entry]] = []
    size = 0
    for entry in entries:
        if not out or len(out[-1]) == max_rules or size + len(entry.rule) > max_characters:
            out.append([])
            size = 0
        out[-1].append(entry)
        size += len(entry.rule)
    return out


def applied(
    batch: Sequence[Entry], reply: Sequence[Cited], shown: Set[str] = frozenset()
) -> tuple[list[Entry], list[Invented]]:
    """Return what a batch becomes: merged rules in the reply's order, then those that none cites, and what was refused.

    A rule may be cited by several merged rules and then counts for each of them. `shown` holds rules of a worked
    example in the prompt, folded: a reply that repeats them says nothing, unless the batch has them too.
    """
    kept: list[Entry] = []
    refused: list[Invented] = []
    named: set[int] = set()
    for cited in reply:
        rule = cleaned(cited.rule)
        copied = folded(rule) in shown - {folded(e.rule) for e in batch}
        why = ("worked_example" if copied else why_no_rule(rule)) or (None if cited.sources else "cites_nothing")
        if why:
            refused.append(Invented(cited.rule, why))
        else:
            kept.append(_union(rule, [batch[i] for i in cited.sources]))
            named |= set(cited.sources)
    return [*kept, *(e for i, e in enumerate(batch) if i not in named)], refused


def joined(entries: Iterable[Entry]) -> list[Entry]:
    """Join rules of the same text, in order of their first."""
    same: dict[str, list[Entry]] = {}
    for entry in entries:
        same.setdefault(folded(entry.rule), []).append(entry)
    return [found[0] if len(found) == 1 else _union(found[0].rule, found) for found in same.values()]


def _union(rule: str, entries: Sequence[Entry]) -> Entry:
    texts = dict.fromkeys(t for e in entries for t in e.merged_from)
    ids = dict.fromkeys(s for e in entries for s in e.sources)
    return Entry(rule, tuple(texts), tuple(ids))
