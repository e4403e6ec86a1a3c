"""Measure precision and recall of the filters on texts with known faults.

    python -m benchmarks.filter_accuracy [--write] [--cases]

Runs the real stages (`deduplicate`, `decontaminate`, `filter_documents`, `filter_responses`) over the planted set of
`benchmarks/planted` and prints a table; then the last two over the held-out set of `benchmarks/planted/held_out`, which
was written after the filters and not used to change them, and prints another. `--write` puts both into
`docs/filters.md`, `--cases` prints every text that a filter got wrong. The texts are ours and made to be hard; how
often a filter errs on other texts is not known from them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from benchmarks.planted import Planted
from benchmarks.planted.documents import planted_documents
from benchmarks.planted.held_out import held_out_documents, held_out_lines, held_out_responses
from benchmarks.planted.personal_data import planted_personal_data
from benchmarks.planted.prompts import planted_benchmark, planted_copies
from benchmarks.planted.responses import planted_responses
from pipeline.api import TableResult, TableStage
from pipeline.testing import process_table
from stages.selection.decontaminate import Decontaminate
from stages.selection.deduplicate import Deduplicate
from stages.selection.filter_documents import FilterDocuments
from stages.selection.filter_responses import FilterResponses

PAGE = Path(__file__).resolve().parents[1] / "docs" / "filters.md"
PLANTED, HELD_OUT = "filter accuracy", "filter accuracy, held out"
"""Names of the tables, in the markers around them on the page."""
SEED = 20_261_124
PERSONAL = ("email", "phone", "card", "iban", "ip", "ssn", "handle")
REASONS = ("refusal", "identity", "date_cutoff", "repetition", "language", "truncation")


class Accuracy(NamedTuple):
    """How often a filter was right about one fault."""

    stage: str
    fault: str
    texts: int
    planted: int
    found: int
    """Texts in which it was planted and found."""
    wrong: Sequence[Planted]
    """Texts in which it was found and not planted."""
    missed: Sequence[Planted]

    @property
    def row(self) -> str:
        """Return a line of the table."""
        reported = self.found + len(self.wrong)
        cells = [
            f"`{self.stage}`",
            self.fault,
            f"{self.texts}",
            f"{self.planted}",
            f"{reported}",
            _rate(self.found, reported),
            _rate(self.found, self.planted),
        ]
        return f"| {' | '.join(cells)} |"


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share."""
    z = 1.959964
    share, scale = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def measured() -> list[Accuracy]:
    """Run every filter over its part of the planted set."""
    rng = random.Random(SEED)
    documents = [*planted_documents(rng), *planted_personal_data(rng)]
    responses = planted_responses(random.Random(SEED))
    return [*_duplicates(), *_benchmark_items(), *_documents(documents), *_responses(responses)]


def measured_held_out() -> list[Accuracy]:
    """Run the filters of documents and of responses over the held-out set.

    Personal data are looked for with the filters before it open, since many lines are too short or have too few
    letters to be kept as documents; what these filters do with such lines is counted apart.
    """
    documents, lines = held_out_documents(), held_out_lines()
    closed = _stage(FilterDocuments, min_characters=1, languages=("en",))
    opened = _stage(FilterDocuments, min_characters=1, max_boilerplate_share=1, max_link_share=1, min_letter_share=0)
    everything = [*documents, *lines]
    responses = _responses(held_out_responses())
    return [
        *_set_aside(documents, process_table(closed, _as_rows(documents))),
        *_set_aside(lines, process_table(closed, _as_rows(lines)), where=", lines with figures"),
        *_personal_data(everything, process_table(opened, _as_rows(everything))),
        *(accuracy for accuracy in responses if accuracy.fault != "truncation"),
    ]


def _duplicates() -> Iterator[Accuracy]:
    copies = planted_copies(random.Random(SEED))
    rows = [{"id": p.id, "text": p.text} for p in copies.items]
    exact = _codes(process_table(_stage(Deduplicate, column="text", method="exact"), rows))
    yield _accuracy("deduplicate", "exact copy", copies.items, {"exact"}, exact)
    near = _codes(process_table(_stage(Deduplicate, column="text", method="minhash"), rows))
    yield _accuracy("deduplicate", "copy, exact or at least 0.85 alike", copies.items, {"exact", "near"}, near)


def _benchmark_items() -> Iterator[Accuracy]:
    made = planted_benchmark(random.Random(SEED))
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps({"id": b.id, "question": b.question}) + "\n" for b in made.benchmark]
        (Path(folder) / "made_up.jsonl").write_text("".join(lines), "utf-8")
        for profile in ("8gram", "13gram"):
            files = [{"name": "made up", "path": "made_up.jsonl", "columns": ["question"]}]
            stage = _stage(Decontaminate, benchmarks=files, base_folder=folder, column="text", profile=profile)
            found = _codes(process_table(stage, [{"id": p.id, "text": p.text} for p in made.items]))
            yield _accuracy("decontaminate", f"benchmark item, {profile}", made.items, {"benchmark"}, found)


def _documents(items: Sequence[Planted]) -> Iterator[Accuracy]:
    result = process_table(_stage(FilterDocuments, min_characters=1, languages=("en",)), _as_rows(items))
    yield from _set_aside(items, result)
    yield from _personal_data(items, result)
    kept = {row["id"]: row for row in result.table.to_pylist()}
    tokens = {i for i, row in kept.items() if row["suspicious"]}
    judged = [p for p in items if p.id in kept]
    yield _accuracy("filter_documents", "control tokens", judged, {"control tokens"}, tokens)


def _set_aside(items: Sequence[Planted], result: TableResult, where: str = "") -> Iterator[Accuracy]:
    plain = [p for p in items if "boilerplate" not in p.faults]
    for fault, pool in (("boilerplate", items), ("language", plain)):
        refused = {i for i, code in _codes(result).items() if code == f"documents.{fault}"}
        yield _accuracy("filter_documents", fault + where, pool, {fault}, refused)


def _personal_data(items: Sequence[Planted], result: TableResult) -> Iterator[Accuracy]:
    kinds = {row["id"]: row["personal_data"] for row in result.table.to_pylist()}
    judged = [p for p in items if p.id in kinds]
    for kind in PERSONAL:
        found = {i for i, names in kinds.items() if kind in names}
        yield _accuracy("filter_documents", kind, judged, {kind}, found)


def _responses(items: Sequence[Planted]) -> Iterator[Accuracy]:
    rows = [{"id": p.id, "response": p.text, "finish_reason": p.finish_reason} for p in items]
    schema = pa.schema([("id", pa.string()), ("finish_reason", pa.string())])
    table = process_table(_stage(FilterResponses, languages=("en",)), rows, schema).table
    reasons = {row["id"]: row["filter_reasons"] for row in table.to_pylist()}
    for reason in REASONS:
        found = {i for i, names in reasons.items() if reason in names}
        yield _accuracy("filter_responses", reason, items, {reason}, found)


def _as_rows(items: Sequence[Planted]) -> list[dict[str, str]]:
    return [{"id": p.id, "text": p.text} for p in items]


def _stage(kind: type[TableStage], **options: Any) -> TableStage:
    return kind(kind.config_type.model_validate(options))


def _codes(result: TableResult) -> Mapping[str, str]:
    return {r.row["id"]: r.code for r in result.rejects}


def _accuracy(stage: str, fault: str, items: Sequence[Planted], wanted: set[str], found: Collection[str]) -> Accuracy:
    """Compare what was found with what was planted; any of `wanted` counts as the fault."""
    planted = [p for p in items if p.faults & wanted]
    hits = sum(p.id in found for p in planted)
    wrong = [p for p in items if p.id in found and not p.faults & wanted]
    return Accuracy(stage, fault, len(items), len(planted), hits, wrong, [p for p in planted if p.id not in found])


def _rate(part: int, whole: int) -> str:
    if not whole:
        return "-"
    low, high = wilson(part, whole)
    return f"{part / whole:.3f} ({low:.2f}-{high:.2f})"


def table_of(results: Sequence[Accuracy]) -> str:
    """Return the table as Markdown."""
    names = ("stage", "looks for", "texts", "planted", "found", "precision (95 %)", "recall (95 %)")
    head = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    return "\n".join([*head, *(r.row for r in results)])


def table_in_page(page: str, name: str) -> str:
    """Return what stands between the two markers of that name on a page."""
    begin, end = _markers(name)
    return page.partition(begin)[2].partition(end)[0].strip()


def _written(page: str, name: str, table: str) -> str:
    begin, end = _markers(name)
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/filters.md")
    parser.add_argument("--cases", action="store_true", help="print the texts that were judged wrongly")
    options = parser.parse_args()
    page = PAGE.read_text("utf-8")
    for name, results in ((PLANTED, measured()), (HELD_OUT, measured_held_out())):
        print(f"{name}\n{table_of(results)}")
        if options.cases:
            _print_cases(results)
        page = _written(page, name, table_of(results))
    if options.write:
        PAGE.write_text(page, "utf-8")


def _print_cases(results: Sequence[Accuracy]) -> None:
    for result in results:
        for word, items in (("found, not planted", result.wrong), ("planted, not found", result.missed)):
            for item in items:
                print(f"\n{result.stage}, {result.fault}, {word}: {item.id}\n    {item.text!r}")


if __name__ == "__main__":
    main()
