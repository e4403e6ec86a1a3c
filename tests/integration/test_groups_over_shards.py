"""Responses to one prompt stay together however small the shards are, so that groups of them are whole."""

import json

from tests.support import changed, pair_recipe, prefmill, run, write


def test_labelled_responses_of_a_prompt_make_one_group_each(tmp_path):
    items = [
        {
            "id": f"i{i}",
            "prompt": f"Question {i}?",
            "chosen": ["good"],
            "rejected": ["bad", "poor", "vile"][: 1 + i % 3],
        }
        for i in range(9)
    ]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
    value = {
        "recipe": 1,
        "name": "groups",
        "seed": 1,
        "stages": [
            {"id": "labelled", "use": "load_preferences", "with": {"path": "labelled.jsonl", "format": "rewardbench2"}},
            {"id": "groups", "use": "group_responses"},
        ],
        "limits": {"shard_rows": 3},
    }
    assert run(write(tmp_path, value), tmp_path / "run").code == 0
    groups = prefmill("rows", tmp_path / "run").json
    assert len(groups) == len({g["id"] for g in groups}) == 9
    assert sorted(len(g["responses"]) for g in groups) == sorted(2 + i % 3 for i in range(9))


def test_a_stage_over_the_whole_data_set_hands_prompts_on_whole(tmp_path):
    value = changed(changed(pair_recipe(), "limits.shard_rows", 3), "stages.responses.with.n", 4)
    value["stages"].insert(-1, {"id": "shaped", "use": "shape_rewards", "from": "reward", "with": {"kind": "minmax"}})
    value = changed(changed(value, "stages.pairs.from", "shaped"), "stages.pairs.with.score", "shaped_reward")
    run(write(tmp_path, value), tmp_path / "run")
    pairs = prefmill("rows", tmp_path / "run").json
    assert len(pairs) == len({p["prompt_id"] for p in pairs}) == 3
    assert all(p["candidates"] == 4 for p in pairs)
