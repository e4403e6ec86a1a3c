"""Items of a benchmark among 1,000,000 prompts: `decontaminate` against brute force in plain Python.

10,000 items (a question of 15 to 60 words, an answer of 3 to 40) and 1,000,000 prompts of 10 to 40 words, seeded, from
a vocabulary of 20,000 words by Zipf's law; one prompt in a hundred holds a piece of an item. The baseline compares runs
of words as text, item by item, for a sample of the same prompts, half of them with pieces, against all items; its
matches must be those of the index, item for item and share for share.

    python -m benchmarks.decontaminate            # about 3 minutes
    python -m benchmarks.decontaminate --rows 100000 --baseline-rows 100

Goal: under 3 minutes for the million, equal to brute force.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.testing import ScriptedContext
from stages.selection.decontaminate import Decontaminate, DecontaminateConfig
from stages.selection.words import fold, split_words

VOCABULARY = 20_000
SIZE, SHARE, MIN_WORDS = 8, 0.5, 5
Items = list[dict[str, str]]
Found = dict[int, tuple[str, float]]


def texts(random: np.random.Generator, words: list[str], count: int, shortest: int, longest: int) -> list[str]:
    """Return texts of random words, common words more often."""
    lengths = random.integers(shortest, longest + 1, count)
    ranks = random.zipf(1.1, int(lengths.sum())) % VOCABULARY
    ends = np.cumsum(lengths)
    return [" ".join(words[k] for k in ranks[end - n : end]) for n, end in zip(lengths, ends, strict=True)]


def generate(rows: int, items: int, seed: int) -> tuple[list[str], Items]:
    """Return prompts and items; one prompt in a hundred holds 6 to all of the words of a question."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, n)) for n in random.integers(2, 12, VOCABULARY)]
    questions, answers = texts(random, words, items, 15, 60), texts(random, words, items, 3, 40)
    prompts = texts(random, words, rows, 10, 40)
    for row in range(0, rows, 100):
        question = questions[int(random.integers(items))].split()
        length = int(random.integers(6, len(question) + 1))
        begin = int(random.integers(len(question) - length + 1))
        prompts[row] += " " + " ".join(question[begin : begin + length])
    return prompts, [{"question": q, "answer": a} for q, a in zip(questions, answers, strict=True)]


def ours(prompts: list[str], items: Items) -> Found:
    """Return for each row with a match its item and share, by the stage; reading the items is part of it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "items.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items), "utf-8")
        benchmark = {"name": "bench", "path": "items.jsonl", "columns": ["question", "answer"]}
        config = {"benchmarks": [benchmark], "column": "text", "max_items": None, "base_folder": folder}
        stage = Decontaminate(DecontaminateConfig.model_validate(config))
        table = pa.table({"id": [str(i) for i in range(len(prompts))], "text": prompts})
        rejects = stage.process_table(table, ScriptedContext(stage)).rejects
    return {int(r.row["id"]): (f"{r.row['item']} {r.row['field']}", r.row["share"]) for r in rejects}


def brute_force(prompts: list[str], items: Items) -> Found:
    """Return the same by comparing every row with every text, runs of words as sets of text."""
    cut = [
        (f"items.jsonl#{number} {field}", split_words(fold(item[field])))
        for number, item in enumerate(items, 1)
        for field in ("question", "answer")
    ]
    out: Found = {}
    for row, prompt in enumerate(prompts):
        of_row = split_words(fold(prompt))
        held = {n: {tuple(of_row[i : i + n]) for i in range(len(of_row) - n + 1)} for n in range(MIN_WORDS, SIZE + 1)}
        for name, words in cut:
            short = len(words) < MIN_WORDS
            share = float(of_row == words) if short else _share(words, min(SIZE, len(words)), held)
            if share >= SHARE and (row not in out or share > out[row][1]):
                out[row] = (name, share)
    return out


def _share(words: list[str], size: int, held: dict[int, set[tuple[str, ...]]]) -> float:
    found = [i for i in range(len(words) - size + 1) if tuple(words[i : i + size]) in held[size]]
    return len({j for i in found for j in range(i, i + size)}) / len(words) if found else 0.0


def main() -> None:
    """Run both and print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--baseline-rows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    prompts, items = generate(given.rows, given.items, given.seed)
    began, worked = time.perf_counter(), time.process_time()
    found = ours(prompts, items)
    wall, cpu = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"prefmill   {len(prompts):,} prompts against {len(items):,} items in {wall:.1f} s (CPU {cpu:.1f} s)")
    print(f"           {len(prompts) / wall:,.0f} prompts/s, {len(found):,} matches, peak memory {peak:.2f} GB")
    half = given.baseline_rows // 2
    sample = [*range(0, len(prompts), max(100, len(prompts) // half // 100 * 100)), *range(1, 2 * half, 2)]
    began = time.perf_counter()
    expected = brute_force([prompts[row] for row in sample], items)
    rate = len(sample) / (time.perf_counter() - began)
    held = {at: found[row] for at, row in enumerate(sample) if row in found}
    assert held == expected, "the index and brute force differ"
    print(f"brute      {len(sample):,} of the prompts against all items: {rate:,.1f} prompts/s")
    print(f"same {len(held):,} matches, items and shares; ratio prefmill / brute {len(prompts) / wall / rate:,.0f}")


if __name__ == "__main__":
    main()
