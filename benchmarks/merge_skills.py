"""Merging 100,000 distinct skill names, against comparing all pairs with the leaders on a part of them.

Names are made of two to four words (a stem and an ending, seeded); a third of them have a near copy: another spelling,
a plural, a letter changed. The baseline is plain Python over sets of n-grams and must find the same clusters.

    python -m benchmarks.merge_skills                              # about 1 minute
    python -m benchmarks.merge_skills --rows 20000 --baseline-rows 2000

Goals: 100,000 names on 2 cores in bounded memory, that is without a table of all pairs; under 2 minutes and 500 MB.
"""

from __future__ import annotations

import argparse
import random
import resource
import time

import pyarrow as pa

from pipeline.testing import ScriptedContext
from stages.synthesis.merge_skills import MergeSkills, MergeSkillsConfig
from stages.synthesis.name_similarity import ngrams

STEMS = (
    "analys plan weigh model design draft teach test trad manag budget explain compar measur predict record translat "
    "negotiat market simulat diagnos repair cook season garden prun sail navigat build weld paint sketch compos tun "
    "conduct listen counsel coach train nurtur protect secur encrypt audit account invest insur lend tax regulat "
    "legislat debat persuad narrat describ summaris quot cit edit publish archiv catalogu classif cluster sampl survey "
    "estimat calculat integrat differentiat prov solv optimis schedul rout deliver pack stor heat cool filter mix"
)
ENDINGS = ("ing", "er", "ation", "ed", "s", "able", "ment", "")


def names(rows: int, seed: int) -> list[str]:
    """Return distinct names, sorted."""
    draw = random.Random(seed)
    words = [stem + ending for stem in STEMS.split() for ending in ENDINGS]
    made: dict[str, None] = {}
    while len(made) < rows:
        name = "_".join(draw.choices(words, k=draw.choice((2, 3, 3, 4))))
        made[name] = None
        if draw.random() < 1 / 3 and len(made) < rows:
            at = draw.randrange(len(name))
            made[draw.choice((name + "s", name[:at] + draw.choice("aeiou") + name[at + 1 :]))] = None
    return sorted(made)


def merged(given: list[str], config: MergeSkillsConfig) -> list[set[str]]:
    """Return the clusters that the stage finds."""
    stage = MergeSkills(config)
    text = pa.array([None] * len(given), pa.string())
    arrays = [
        pa.array([str(i) for i in range(len(given))]),
        pa.repeat("skill", len(given)),
        *(pa.array(given),) * 2,
        *(text,) * 2,
        pa.array([None] * len(given), pa.list_(pa.string())),
    ]
    result = stage.process_table(pa.Table.from_arrays(arrays, schema=stage.inputs), ScriptedContext(stage))
    return [set(members) for members in result.table.column("member_names").to_pylist()]


def all_pairs(given: list[str], config: MergeSkillsConfig) -> list[set[str]]:
    """Return the clusters by comparing every name with every leader."""
    grams = {name: ngrams(name, config.ngram) for name in given}

    def near(one: str, other: str) -> float:
        shared = len(grams[one] & grams[other])
        return shared / (len(grams[one]) + len(grams[other]) - shared)

    leaders: dict[str, set[str]] = {}
    for name in given:
        if all(near(name, leader) < config.threshold for leader in leaders):
            leaders[name] = {name}
    order = list(leaders)
    for name in given:
        if name not in leaders:
            leaders[max(order, key=lambda leader: near(name, leader))].add(name)
    return list(leaders.values())


def timed(action, *arguments):
    """Return what an action returns, and the wall and processor seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = action(*arguments)
    return value, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--baseline-rows", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    config = MergeSkillsConfig()
    every = names(given.rows, given.seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found, wall, cpu = timed(merged, every, config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"prefmill  {len(every):,} names to {len(found):,} clusters, the largest of {max(map(len, found))}: wall "
        f"{wall:.1f} s, CPU {cpu:.1f} s, peak RSS {peak:.0f} MB ({before:.0f} MB before)"
    )
    part = random.Random(given.seed).sample(every, min(given.baseline_rows, len(every)))
    part.sort()
    ours, _, our_cpu = timed(merged, part, config)
    theirs, _, their_cpu = timed(all_pairs, part, config)
    assert ours == theirs, "the baseline finds other clusters"
    print(
        f"all pairs {len(part):,} names to {len(theirs):,} clusters, the same: CPU {their_cpu:.1f} s, "
        f"prefmill {our_cpu:.2f} s ({their_cpu / our_cpu:.0f} times as fast)"
    )


if __name__ == "__main__":
    main()
