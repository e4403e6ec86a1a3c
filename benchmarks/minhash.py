"""Near duplicates among 1,000,000 short prompts: `deduplicate` against datasketch's MinHashLSH used plainly.

The prompts (10 to 30 words, seeded, a vocabulary of 50,000 words drawn by Zipf's law) hold planted near copies of known
Jaccard similarity, from 0.5 to 1. Recall is counted over planted copies at 0.85 and up, false merges over all rows that
were dropped for a row that is less than 0.7 alike, by shingles as text. The baseline runs on the first rows only: its
index of Python objects does not fit a million.

    python -m benchmarks.minhash                  # about 3 minutes
    python -m benchmarks.minhash --rows 100000 --baseline-rows 20000

Goals: under 6 minutes and 4 GB on 2 cores, recall at least 0.99, false merges under 0.001.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datasketch import MinHash, MinHashLSH

from pipeline.testing import ScriptedContext
from stages.selection.deduplicate import Deduplicate, DeduplicateConfig
from stages.selection.shingles import Shingling, jaccard, shingle_set
from stages.selection.words import fold

THRESHOLD = 0.85
SHINGLING = Shingling("word", 2)
VOCABULARY = 50_000
COPIES = 0.1


@dataclass(frozen=True)
class Planted:
    """A near copy: its row, the row it was made from, and how alike they are."""

    row: int
    of: int
    similarity: float


def prompts(rows: int, seed: int) -> tuple[list[str], list[Planted]]:
    """Return texts and the near copies among them, each after its original."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, n)) for n in random.integers(2, 12, VOCABULARY)]
    originals = rows - int(rows * COPIES)
    lengths = random.integers(10, 31, originals)
    ranks = random.zipf(1.2, int(lengths.sum())) % VOCABULARY
    ends = np.cumsum(lengths)
    texts = [" ".join(words[k] for k in ranks[end - n : end]) for n, end in zip(lengths, ends, strict=True)]
    planted = []
    for of in random.choice(originals, rows - originals, replace=False).tolist():
        copy = _edited(texts[of].split(), words, random)
        similarity = jaccard(shingle_set(texts[of], SHINGLING), shingle_set(copy, SHINGLING))
        planted.append(Planted(len(texts), of, similarity))
        texts.append(copy)
    return texts, planted


def _edited(copy: list[str], words: list[str], random: np.random.Generator) -> str:
    for _ in range(int(random.integers(1, 4))):
        at, word = int(random.integers(len(copy))), words[int(random.integers(VOCABULARY))]
        kind = int(random.integers(4))
        if kind == 0:
            copy[at] = word
        elif kind == 1 and len(copy) > 5:
            del copy[at]
        elif kind == 2:
            copy.insert(at, word)
        else:
            copy.append(word)
    return " ".join(copy)


def ours(texts: list[str]) -> dict[int, int]:
    """Return the dropped rows and what each repeats, by the stage."""
    ids = pa.array([str(i) for i in range(len(texts))])
    turns = pa.StructArray.from_arrays([pa.array(["user"] * len(texts)), pa.array(texts)], ["role", "content"])
    conversations = pa.ListArray.from_arrays(pa.array(range(len(texts) + 1), pa.int32()), turns)
    stage = Deduplicate(DeduplicateConfig(threshold=THRESHOLD))
    table = pa.table({"id": ids, "prompt": conversations})
    result = stage.process_table(table, ScriptedContext(stage))
    return {int(r.row["id"]): int(r.row["duplicate_of"]) for r in result.rejects}


def baseline(texts: list[str]) -> dict[int, int]:
    """Return the same by datasketch alone: signatures of 128 values, its index, first kept row that it finds."""
    index, out = MinHashLSH(threshold=THRESHOLD, num_perm=128), {}
    for row, text in enumerate(texts):
        signature = MinHash(num_perm=128)
        signature.update_batch([s.encode() for s in shingle_set(fold(text), SHINGLING)])
        found = index.query(signature)
        if found:
            out[row] = min(found)
        else:
            index.insert(row, signature)
    return out


def judged(texts: list[str], planted: list[Planted], dropped: dict[int, int]) -> str:
    """Say how many planted copies were found and how many rows were dropped for an unlike one."""
    alike = [p for p in planted if p.similarity >= THRESHOLD and p.row < len(texts)]
    found = sum(p.row in dropped for p in alike)
    pairs = [jaccard(shingle_set(texts[a], SHINGLING), shingle_set(texts[b], SHINGLING)) for a, b in dropped.items()]
    false = sum(s < 0.7 for s in pairs)
    below = sum(s < THRESHOLD for s in pairs)
    return (
        f"recall {found / max(1, len(alike)):.5f} of {len(alike):,} planted at {THRESHOLD} and up; dropped "
        f"{len(dropped):,}, of them below {THRESHOLD}: {below:,}, below 0.7: {false:,} "
        f"({false / max(1, len(dropped)):.4%})"
    )


def main() -> None:
    """Run both and print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--baseline-rows", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    texts, planted = prompts(given.rows, given.seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    began, worked = time.perf_counter(), time.process_time()
    dropped = ours(texts)
    wall, cpu = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"prefmill   {len(texts):,} rows in {wall:.1f} s (CPU {cpu:.1f} s), {len(texts) / wall:,.0f} rows/s")
    print(f"           peak memory of the process {peak:.2f} GB, of which input {before:.2f} GB")
    print(f"           {judged(texts, planted, dropped)}")
    few, copies = prompts(given.baseline_rows, given.seed)
    rates = []
    for name, run in (("prefmill", ours), ("datasketch", baseline)):
        began = time.perf_counter()
        dropped = run(few)
        took = time.perf_counter() - began
        rates.append(len(few) / took)
        print(f"{name:10s} {len(few):,} rows in {took:.1f} s, {rates[-1]:,.0f} rows/s; {judged(few, copies, dropped)}")
    print(f"ratio prefmill / datasketch, rows per second at {len(few):,} rows: {rates[0] / rates[1]:.1f}")


if __name__ == "__main__":
    main()
