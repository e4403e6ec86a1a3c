import asyncio

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.testing import process_row, scripted_engine
from stages.preference.rate_preferences import RatePreferences, RatePreferencesConfig
from stages.preference.tournament import Undecided, bracket_order, knock_out
from tests.unit.stages.preference_parts import (
    LIKED,
    always,
    fair,
    group,
    rate,
    unreadable,
)


class TestKnockout:
    def test_the_best_is_found_with_few_requests(self):
        engine = scripted_engine(fair)
        found = rate(group(*LIKED[::-1]), engines={"judge": engine}, tournament="knockout")
        assert found["best_id"] == "r-4" and len(engine.generate_calls) == 8 and found["comparisons"] == 4
        assert found["win_rates"] is None and found["nash_mixture"] is None
        assert [m["round"] for m in found["bracket"]] == [1, 1, 2, 3]
        assert found["bracket"][-1]["winner_id"] == "r-4" and found["bracket"][-1]["loser_id"] == found["worst_id"]
        assert sum(v is None for row in found["preference_matrix"] for v in row) == 12

    def test_the_losers_play_for_the_last_place(self):
        engine = scripted_engine(fair)
        found = rate(group(*LIKED[:4]), engines={"judge": engine}, tournament="knockout", losers_bracket=True)
        assert (found["best_id"], found["worst_id"]) == ("r-0", "r-3") and len(engine.generate_calls) == 8
        assert [m["bracket"] for m in found["bracket"]].count("losers") == 1

    def test_its_columns_have_the_declared_types(self):
        stage = RatePreferences(RatePreferencesConfig(tournament="knockout"))
        found = process_row(stage, group("Elbe", "Rhine"), fair)[0]
        table = pa.Table.from_pylist([{n: found[n] for n in stage.outputs.names}], schema=stage.outputs)
        assert table.column("bracket")[0].as_py()[0]["probability"] == 1.0

    def test_it_cannot_go_on_without_a_verdict(self):
        found = unreadable(group("Elbe", "Rhine"), always("hm"), tournament="knockout")
        assert found.message.endswith("the tournament cannot go on")

    def test_the_order_follows_names_and_seed_and_not_places(self):
        names = ["d", "b", "a", "c"]
        order = bracket_order(names, 7)
        assert [names[i] for i in order] == [sorted(names)[i] for i in bracket_order(sorted(names), 7)]
        assert len({tuple(bracket_order(names, seed)) for seed in range(20)}) > 5

    @given(st.integers(2, 17), st.booleans(), st.integers(0, 1000))
    @settings(max_examples=60, deadline=None)
    def test_strength_decides_and_the_number_of_comparisons_is_as_stated(self, n, losers, seed):
        asked = []

        async def stronger(one, other):
            asked.append((one, other))
            return 1.0 if one > other else 0.0

        outcome = asyncio.run(knock_out(bracket_order([str(i) for i in range(n)], seed), stronger, losers))
        assert outcome.best == n - 1 and len(asked) == len(outcome.matches) == n - 1 + (n // 2 - 1 if losers else 0)
        assert outcome.worst != outcome.best and (not losers or n % 2 or outcome.worst == 0)

    def test_of_equals_the_first_in_the_bracket_goes_on(self):
        async def level(one, other):
            return 0.5

        assert asyncio.run(knock_out([3, 1, 2], level, False)).best == 3

    def test_an_unknown_comparison_leaves_it_undecided(self):
        async def unknown(one, other):
            return None

        with pytest.raises(Undecided):
            asyncio.run(knock_out([0, 1], unknown, False))
