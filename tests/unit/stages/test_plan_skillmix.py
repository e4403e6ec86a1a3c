import json
from collections import Counter
from math import comb
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.api import PrerequisiteError, lineage_id
from pipeline.testing import ScriptedContext, process_table
from stages.synthesis.counter_random import numbers_below, shuffled, splitmix64, words
from stages.synthesis.coverage import (
    Distinct,
    chi_square,
    chi_square_critical,
    chi_square_p,
    distinct_pairs,
    distinct_skills,
)
from stages.synthesis.plan_skillmix import PlanSkillmix, PlanSkillmixConfig
from stages.synthesis.skill_draws import balanced, iid, release_sets, unrepeated_sets
from tests.unit.stages.skillmix_parts import Books

ROOT = Path(__file__).parents[3]
GOLDEN = json.loads((ROOT / "tests/golden/vectors/golden_skillmix.json").read_text("utf-8"))
RELEASED = ROOT.parent / "shared/data/methods_annotation/skillmix_sda_k2_1k_skills_and_query_types.json"


WORDS = [4190175372254713003, 15761735159220920140]


def named(kind, *names):
    return [
        {"id": f"{kind[0]}{i}", "kind": kind, "name": n, "definition": None, "examples": []}
        for i, n in enumerate(names)
    ]


class TestCounterRandom:
    def test_words_are_those_of_the_published_splitmix64(self):
        # outputs for seed 1234567, as in the reference program's well-known test vector
        expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
        assert splitmix64(1234567, 0, 4).tolist() == expected
        assert splitmix64(1234567, 2, 2).tolist() == expected[2:]

    def test_streams_and_seeds_differ_and_are_fixed_for_ever(self):
        assert words(17, "set", 0, 2).tolist() == WORDS
        assert len({int(words(s, n, 0, 1)[0]) for s in (17, 18) for n in ("set", "type")}) == 4

    def test_numbers_and_orders_follow_from_words(self):
        assert numbers_below(7, np.array([6, 7, 2**64 - 1], np.uint64)).tolist() == [6, 0, (2**64 - 1) % 7]
        assert sorted(shuffled(np.arange(50), 1, "x").tolist()) == list(range(50))
        assert shuffled(np.arange(50), 1, "x").tolist() != list(range(50))


class TestDraws:
    def test_the_released_sampler_is_repeated(self):
        (expected,) = (v for k, v in GOLDEN.items() if k.startswith("legacy_numpy_seed42"))
        assert [[f"s{i + 1}" for i in s] for s in release_sets(6, 2, 5, 42).tolist()] == expected

    @pytest.mark.parametrize("seed", range(5))
    def test_as_many_skills_come_up_as_a_fair_draw_gives(self, seed):
        sets = unrepeated_sets(1132, 2, 1000, seed)
        assert len({frozenset(s) for s in sets.tolist()}) == 1000 and (sets[:, 0] != sets[:, 1]).all()
        fair = distinct_skills(1132, 2, 1000, repeated=False)
        assert abs(fair.z(len(np.unique(sets)))) < 4

    @pytest.mark.parametrize("k", [1, 2, 3])
    def test_all_sets_come_up_once_when_all_are_asked_for(self, k):
        sets = unrepeated_sets(7, k, comb(7, k), 3).tolist()
        assert len({frozenset(s) for s in sets}) == comb(7, k)
        few = [unrepeated_sets(7, k, 3, seed).tolist() for seed in (3, 3, 4)]
        assert few[0] == few[1] != few[2]

    @pytest.mark.parametrize("n", [9, 3])
    def test_every_set_is_equally_likely_in_any_order(self, n):
        counts = Counter(tuple(s) for seed in range(600) for s in unrepeated_sets(5, 2, n, seed).tolist())
        expected = 600 * n / 20
        assert len(counts) == 20 and sum((c - expected) ** 2 / expected for c in counts.values()) < 43.8  # 19 df, 0.1 %

    def test_triples_are_equally_likely_too(self):
        counts = Counter(tuple(s) for s in np.concatenate([unrepeated_sets(5, 3, 4, s) for s in range(1500)]).tolist())
        assert len(counts) == 60 and chi_square_p(chi_square(np.array(list(counts.values()))), 59) > 0.001

    def test_a_longer_plan_begins_as_the_shorter_one(self):
        assert unrepeated_sets(900, 2, 5000, 1)[:3000].tolist() == unrepeated_sets(900, 2, 3000, 1).tolist()

    def test_sets_too_many_to_number_are_compared_by_their_members(self):
        sets = unrepeated_sets(100_000, 4, 1000, 1)
        assert sets.shape == (1000, 4) and all(len(set(s)) == 4 for s in sets.tolist())

    def test_more_sets_than_there_are_is_an_error_with_figures(self):
        with pytest.raises(ValueError, match="11 rows of 2 skills asked for, but 5 distinct skills give only 10"):
            unrepeated_sets(5, 2, 11, 0)

    @pytest.mark.parametrize("n", [1, 15, 16, 1000])
    def test_balanced_counts_differ_by_at_most_one(self, n):
        counts = Counter(balanced(16, n, 1, "type").tolist())
        assert sum(counts.values()) == n and len(counts) == min(n, 16)
        assert set(counts.values()) <= {n // 16, n // 16 + 1}

    def test_iid_types_are_uniform(self):
        limit = GOLDEN["query_type_uniformity"]["chi2_critical_0.05_df15"]
        drawn = [np.bincount(iid(16, 1000, seed, "type"), minlength=16) for seed in range(20)]
        assert sum(chi_square(counts) < limit for counts in drawn) >= 17


class TestCoverage:
    def test_the_expectation_of_the_notes_is_met(self):
        fair = distinct_skills(1132, 2, 1000, repeated=True)
        assert fair.expected == pytest.approx(GOLDEN["expected_distinct_skills"]["expected"], abs=1e-6)
        assert fair.sd == pytest.approx(10.0949, abs=1e-4) and abs(fair.z(942)) < 0.32

    def test_sets_that_never_repeat_bring_up_a_little_more(self):
        assert distinct_skills(1132, 2, 1000, repeated=False).expected == pytest.approx(939.1309, abs=1e-4)
        assert distinct_pairs(1132, 2, 1000, repeated=False) == Distinct(640146, 1000.0, 0.0)
        p = 2 / (1132 * 1131)
        assert distinct_pairs(1132, 2, 1000, repeated=True).expected == pytest.approx(640146 * (1 - (1 - p) ** 1000))

    @pytest.mark.parametrize(("m", "k", "n"), [(20, 3, 40), (12, 4, 30)])
    def test_mean_and_deviation_are_those_of_many_draws(self, m, k, n):
        skills, pairs = [], []
        for seed in range(800):
            sets = np.sort(unrepeated_sets(m, k, n, seed), axis=1)
            skills.append(len(np.unique(sets)))
            pairs.append(len({(s[i], s[j]) for s in sets.tolist() for i in range(k) for j in range(i + 1, k)}))
        for law, seen in ((distinct_skills, skills), (distinct_pairs, pairs)):
            fair = law(m, k, n, repeated=False)
            assert np.mean(seen) == pytest.approx(fair.expected, abs=4 * fair.sd / 800**0.5 + 1e-9)
            assert np.std(seen) == pytest.approx(fair.sd, rel=0.15, abs=0.02)

    def test_mean_and_deviation_of_independent_sets(self):
        seen = []
        for seed in range(800):
            sets = release_sets(20, 3, 30, seed)
            seen.append(len({frozenset((s[i], s[j])) for s in sets.tolist() for i, j in ((0, 1), (0, 2), (1, 2))}))
        fair = distinct_pairs(20, 3, 30, repeated=True)
        assert np.mean(seen) == pytest.approx(fair.expected, abs=4 * fair.sd / 800**0.5)
        assert np.std(seen) == pytest.approx(fair.sd, rel=0.15)

    def test_where_chance_has_no_part_there_is_no_z(self):
        assert distinct_skills(5, 1, 3, repeated=False) == Distinct(5, 3.0, 0.0)
        assert distinct_skills(3, 2, 3, repeated=False) == Distinct(3, 3.0, 0.0)
        assert distinct_pairs(5, 1, 3, repeated=True) == Distinct(10, 0.0, 0.0)
        assert Distinct(5, 3.0, 0.0).z(3) is None

    def test_chi_square_of_the_released_rows(self):
        reference = GOLDEN["query_type_uniformity"]
        assert chi_square_critical(15) == pytest.approx(reference["chi2_critical_0.05_df15"], abs=5e-4)
        assert chi_square_p(reference["chi2_df15_observed_in_release"], 15) == pytest.approx(0.598, abs=1e-3)
        assert chi_square(np.array([44, 73, 63, 60])) == pytest.approx(7.233, abs=1e-3)

    @pytest.mark.parametrize(("df", "critical"), [(1, 3.8415), (2, 5.9915), (3, 7.8147), (100, 124.3421)])
    def test_critical_values_are_those_of_the_tables(self, df, critical):
        assert chi_square_critical(df) == pytest.approx(critical, abs=1e-3)
        assert chi_square_p(0.0, df) == 1.0


class TestPlan:
    def plan(self, rows, **config):
        return process_table(PlanSkillmix(PlanSkillmixConfig(**config)), rows)

    def test_equal_names_count_once_and_rows_cite_their_sources(self):
        rows = named("skill", "a", "b", "a", "c") + named("query_type", "how_to")
        table = self.plan(rows, n=3).table
        assert {frozenset(s) for s in table["skills"].to_pylist()} == {frozenset(p) for p in ("ab", "ac", "bc")}
        sources = {"a": "s0", "b": "s1", "c": "s3"}
        for i, row in enumerate(table.to_pylist()):
            assert row["skill_ids"] == [sources[s] for s in row["skills"]] and row["k"] == 2
            assert row["id"] == lineage_id("skillmix", str(i), *row["skill_ids"], "q0")
        assert table["query_type_id"].to_pylist() == ["q0"] * 3 and table["persona"].null_count == 3

    def test_definitions_and_examples_come_along(self):
        skill = {"id": "s", "kind": "skill", "name": "a", "definition": "Does a.", "examples": None}
        kind = {"id": "q", "kind": "query_type", "name": "how_to", "definition": "Steps.", "examples": ["How?"]}
        (row,) = self.plan([skill, kind, *named("skill", "b")], n=1).table.to_pylist()
        assert dict(zip(row["skills"], row["skill_definitions"], strict=True)) == {"a": "Does a.", "b": None}
        assert (row["query_type_definition"], row["query_type_examples"]) == ("Steps.", ["How?"])

    @pytest.mark.parametrize("sampling", ["balanced", "iid"])
    def test_a_persona_is_a_third_axis(self, sampling):
        people = named("persona", "beekeeper", "night_nurse")
        people[1]["definition"] = "a nurse who works at night"
        rows = named("skill", *"abcde") + named("query_type", "x") + people
        table = self.plan(rows, n=10, persona=sampling).table
        said = {"p0": "beekeeper", "p1": "a nurse who works at night"}
        assert [said[i] for i in table["persona_id"].to_pylist()] == table["persona"].to_pylist()
        assert set(table["persona_id"].to_pylist()) == {"p0", "p1"}
        without = self.plan(rows, n=10).table
        assert without["skills"].equals(table["skills"]) and without["persona_id"].null_count == 10

    def test_the_plan_depends_on_the_run_seed(self):
        stage = PlanSkillmix(PlanSkillmixConfig(n=8))
        rows = named("skill", *"abcdefgh") + named("query_type", "x", "y")
        table = pa.Table.from_pylist(rows, schema=stage.inputs)
        one, other = (stage.process_table(table, ScriptedContext(stage, run_seed=s)).table for s in (1, 2))
        assert not one.equals(other)

    def test_rows_of_no_kind_or_no_name_are_rejected(self):
        rows = named("skill", "a", "b", "") + named("query_type", "x") + named("other", "z")
        assert [(r.row["id"], r.code) for r in self.plan(rows, n=1).rejects] == [
            ("s2", "plan.bad_row"),
            ("o0", "plan.bad_row"),
        ]

    def test_no_rows_at_all_give_an_empty_plan(self):
        result = self.plan([], n=5)
        assert result.table.schema.equals(PlanSkillmix.outputs) and not result.table.num_rows and not result.rejects

    @pytest.mark.parametrize(
        ("rows", "config", "said"),
        [
            (named("skill", "a") + named("query_type", "x"), {"n": 1}, "at least 2 distinct skills"),
            (named("skill", "a", "b"), {"n": 1}, "left 2 and 0"),
            (named("skill", "a", "b") + named("query_type", "x"), {"n": 2}, "2 rows of 2 skills asked for"),
            (named("skill", "a", "b") + named("query_type", "x"), {"n": 1, "persona": "iid"}, "no row of kind"),
        ],
    )
    def test_too_little_to_plan_from_is_said_with_figures(self, rows, config, said):
        with pytest.raises(PrerequisiteError, match=said):
            self.plan(rows, **config)

    def test_a_plan_may_take_all_sets_where_there_are_fewer_than_asked_for(self):
        rows = named("skill", *"abcd") + named("query_type", "x", "y")
        table = self.plan(rows, n=50, too_few_sets="take_all").table
        assert len({frozenset(s) for s in table["skills"].to_pylist()}) == table.num_rows == 6
        assert Counter(table["query_type"].to_pylist()) == {"x": 3, "y": 3}

    def test_the_released_sampler_may_repeat_sets(self):
        rows = named("skill", "a", "b") + named("query_type", "x")
        assert self.plan(rows, n=5, sampler="release", query_type_sampling="iid").table.num_rows == 5


class TestReport:
    def report(self, rows, **config):
        stage = PlanSkillmix(PlanSkillmixConfig(**config))
        given = pa.Table.from_pylist(rows, schema=stage.inputs)
        table = stage.process_table(given, ScriptedContext(stage)).table
        return stage.report(Books(table, given)), table

    def test_coverage_and_evenness_are_counted_from_the_plan(self):
        rows = named("skill", *"abcdefghij", "a") + named("query_type", *"xyz") + named("persona", "p", "q")
        (coverage, evenness), table = self.report(rows, n=12, k=3, persona="iid", query_type_sampling="balanced")
        sets = table["skills"].to_pylist()
        fair = distinct_skills(10, 3, 12, repeated=False)
        distinct = len({s for row in sets for s in row})
        assert coverage.rows[0] == ("skills", distinct, 10, fair.expected, fair.sd, fair.z(distinct))
        pairs = {frozenset(p) for a, b, c in sets for p in ((a, b), (a, c), (b, c))}
        assert coverage.rows[1][:3] == ("pairs", len(pairs), 45)
        assert evenness.rows[0] == ("query_type", "balanced", 3, 4, 4, 0.0, None, None, None)
        counts = [table["persona_id"].to_pylist().count(i) for i in ("p0", "p1")]
        axis, sampling, kinds, fewest, most, _, df, critical, p = evenness.rows[1]
        assert (axis, sampling, kinds, df) == ("persona", "iid", 2, 1) and [fewest, most] == sorted(counts)
        assert critical == pytest.approx(3.841, abs=1e-3) and 0 < p <= 1

    def test_an_empty_plan_has_nothing_to_report(self):
        assert PlanSkillmix(PlanSkillmixConfig(n=1)).report(Books(PlanSkillmix.outputs.empty_table())) == ()

    @pytest.mark.skipif(not RELEASED.exists(), reason="the released names lie beside the checkout, not in it")
    @pytest.mark.parametrize("sampler", ["unrepeated", "release"])
    def test_the_released_names_come_up_as_often_as_they_should(self, sampler):
        names = json.loads(RELEASED.read_text("utf-8"))
        rows = named("skill", *names["skills"]) + named("query_type", *names["query_type_counts"])
        (coverage, evenness), table = self.report(rows, n=1000, sampler=sampler, query_type_sampling="iid")
        assert table.num_rows == 1000 and coverage.rows[0][2] == 942
        assert all(z is None or abs(z) < 4 for *_, z in coverage.rows)
        assert evenness.rows[0][5] < 37.7  # 15 df, 0.1 %
