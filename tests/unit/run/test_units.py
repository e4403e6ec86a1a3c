"""How plans are cut into units, and when a unit of shards is done."""

from __future__ import annotations

import pytest

from pipeline.errors import CorruptStore
from pipeline.plan.fingerprint import fingerprint_plan
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import validate_recipe
from pipeline.run.units import cut_units, devices_of, roots_of, seal_if_done, shard_counts, shard_done
from pipeline.store.commits import CommitRecord
from pipeline.store.run_store import RunStore
from tests.support import pair_recipe, skillmix_recipe


def planned(tmp_path, value, **limits):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    value["limits"] |= limits
    return build_plan(validate_recipe(value, "test"), tmp_path)


def shape(plan):
    return [(u.spread, u.stages) for u in cut_units(plan)]


def test_sources_are_done_alone_and_engine_stages_are_shared_with_what_follows_shard_by_shard(tmp_path):
    shared = ("responses", "strong_lp", "weak_lp", "reward", "pairs")
    assert shape(planned(tmp_path, pair_recipe())) == [(False, ("prompts",)), (True, shared)]


def test_a_branch_from_the_source_joins_the_shared_unit_as_a_second_root(tmp_path):
    value = pair_recipe()
    value["stages"].append({**value["stages"][1], "id": "again", "from": "prompts"})
    plan = planned(tmp_path, value)
    shared = cut_units(plan)[1]
    assert shared.stages[-1] == "again" and roots_of(plan, shared) == ["responses", "again"]


def test_a_table_stage_after_a_barrier_is_done_alone_unless_an_engine_stage_comes_between(tmp_path):
    value = skillmix_recipe()
    plan = planned(tmp_path, value)
    after_all = ("instructions", "responses", "strong_lp", "weak_lp", "reward", "pairs")
    assert shape(plan) == [(False, ("domains",)), (True, ("skills",)), (False, ("plan",)), (True, after_all)]


def test_every_stage_is_in_one_unit_and_none_before_its_input(tmp_path):
    plan = planned(tmp_path, skillmix_recipe())
    order = [i for u in cut_units(plan) for i in u.stages]
    assert sorted(order) == sorted(plan.stages)
    assert all(s.upstream is None or order.index(s.upstream) < order.index(s.id) for s in plan.stages.values())


def test_scripted_engines_need_no_device_and_roots_are_what_reads_from_outside(tmp_path):
    plan = planned(tmp_path, pair_recipe())
    unit = cut_units(plan)[1]
    assert (devices_of(plan, unit), roots_of(plan, unit)) == (0, ["responses"])


@pytest.fixture
def site(tmp_path):
    """Return plan, unit and stores of prompts -> responses, two shards of prompts sealed."""
    value = pair_recipe()
    value["stages"] = value["stages"][:2]
    value["engines"] = {"policy": value["engines"]["policy"]}
    plan = planned(tmp_path, value)
    store = RunStore(tmp_path / "run")
    stores = {i: store.stage(i, f) for i, f in fingerprint_plan(plan).items()}
    stores["prompts"].prepare()
    return plan, cut_units(plan)[1], stores


def committed(store, shard, content, generation=0):
    store.prepare()
    record = CommitRecord(shard, generation, store.fingerprint, content, 0, 0, 0, 0, 0, None, None)
    store.commit_shard(record)


def test_a_unit_whose_input_is_not_sealed_has_no_shards_yet(site):
    plan, unit, stores = site
    assert not seal_if_done(plan, stores, unit)
    with pytest.raises(CorruptStore, match="'responses' was begun before its input 'prompts'"):
        shard_counts(plan, stores, unit)


def test_a_shard_is_done_when_it_was_made_from_the_input_that_counts(site):
    plan, unit, stores = site
    committed(stores["prompts"], 0, "source")
    stores["prompts"].seal(1)
    counts = shard_counts(plan, stores, unit)
    committed(stores["responses"], 0, "of another input")
    assert counts == {"responses": 1} and not shard_done(plan, stores, counts, 0)
    committed(stores["responses"], 0, "empty", generation=1)
    assert shard_done(plan, stores, counts, 0)


def test_whoever_sees_all_shards_seals_the_unit_and_twice_is_once(site):
    plan, unit, stores = site
    for shard in range(2):
        committed(stores["prompts"], shard, "source")
    stores["prompts"].seal(2)
    committed(stores["responses"], 1, "empty")
    assert not seal_if_done(plan, stores, unit) and stores["responses"].sealed is None
    committed(stores["responses"], 0, "empty")
    assert seal_if_done(plan, stores, unit) and seal_if_done(plan, stores, unit)
    assert stores["responses"].sealed == 2
