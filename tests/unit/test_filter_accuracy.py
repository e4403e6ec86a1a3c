"""The planted set is what it says it is, and the table in docs/filters.md is what the filters do on it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.filter_accuracy import (
    HELD_OUT,
    PAGE,
    PLANTED,
    measured,
    measured_held_out,
    table_in_page,
    table_of,
    wilson,
)
from benchmarks.planted.documents import planted_documents
from benchmarks.planted.held_out import held_out_documents, held_out_lines, held_out_responses
from benchmarks.planted.personal_data import planted_personal_data
from benchmarks.planted.prompts import THRESHOLD, planted_benchmark, planted_copies, similarity
from benchmarks.planted.responses import planted_responses

LABELLED = Path(__file__).parent / "stages" / "labelled_responses.jsonl"


@pytest.mark.parametrize(("successes", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)])
def test_wilsons_interval_is_golden(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("make", [planted_documents, planted_personal_data, planted_responses])
def test_a_set_depends_on_its_seed_only_and_repeats_no_text(make):
    items = make(random.Random(5))
    assert items == make(random.Random(5)) != make(random.Random(6))
    assert len({i.id for i in items}) == len(items)
    assert sum(not i.faults for i in items) >= 240


def test_near_copies_have_the_similarity_that_is_stated():
    copies = planted_copies(random.Random(5))
    texts = {p.id: p.text for p in copies.items}
    originals = [p.text for p in copies.items if p.id.startswith("prompt")]
    for near, stated in copies.similarity.items():
        assert max(similarity(texts[near], o) for o in originals) == stated
    above = [s for s in copies.similarity.values() if s >= THRESHOLD]
    assert 40 < len(above) < len(copies.similarity) - 40 and min(copies.similarity.values()) > 0.5
    assert max(similarity(a, b) for i, a in enumerate(originals) for b in originals[:i]) <= 0.6


def test_benchmark_items_are_planted_whole_or_in_most_of_their_words():
    made = planted_benchmark(random.Random(5))
    assert len(made.items) == 400 and sum("benchmark" in p.faults for p in made.items) == 3 * len(made.benchmark)
    whole = [p.text.lower() for p in made.items if p.id.startswith(("verbatim", "embedded"))]
    assert all(sum(b.question.lower() in text for text in whole) == 2 for b in made.benchmark)


@pytest.mark.parametrize("make", [held_out_documents, held_out_lines, held_out_responses])
def test_the_held_out_set_repeats_no_text(make):
    items = make()
    assert len({i.id for i in items}) == len({i.text for i in items}) == len(items)


def test_no_text_held_out_is_one_that_the_filters_were_mended_on():
    rng = random.Random(5)
    first = [*planted_documents(rng), *planted_personal_data(rng), *planted_responses(rng)]
    used = {i.text for i in first} | {json.loads(line)["text"] for line in LABELLED.read_text("utf-8").splitlines()}
    assert not used & {i.text for i in [*held_out_documents(), *held_out_lines(), *held_out_responses()]}


@pytest.mark.parametrize(("name", "measure"), [(PLANTED, measured), (HELD_OUT, measured_held_out)])
def test_the_table_on_the_page_is_what_the_filters_do(name, measure):
    assert table_in_page(PAGE.read_text("utf-8"), name) == table_of(measure())
