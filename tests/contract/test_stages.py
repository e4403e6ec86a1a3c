"""Every stage that prefmill ships goes through the same checks that a third party's stage does."""

import ast
import json
import re
import runpy
import sys
from pathlib import Path

import cloudpickle
import pyarrow as pa
import pytest

from pipeline.api import MESSAGES
from pipeline.testing import check_stage
from pipeline.types import ExecutionOnly

ROOT = Path(__file__).resolve().parents[2]
REFRESH = runpy.run_path(str(Path(__file__).with_name("refresh_versions.py")))
SCRIPT = runpy.run_path(str(ROOT / "tests/integration/skillmix_script.py"))
STAGES = REFRESH["own_stages"]()


def scripted(request, draw):
    body = {"messages": [dict(m) for m in request.messages]}
    return SCRIPT["reply"](body, request.messages[-1]["content"], (request.seed or 0) + draw)


def candidate(i, reward):
    return {
        "id": f"r{i}",
        "prompt_id": "p",
        "prompt": [{"role": "user", "content": "Why?"}],
        "response": f"Because {i}.",
        "reward": reward,
    }


NAMED = [("skill", "weighing"), ("skill", "sequencing"), ("query_type", "how_to")]
PLAN_ROWS = [
    {"id": str(i), "kind": kind, "name": name, "definition": None, "examples": []}
    for i, (kind, name) in enumerate(NAMED)
]
PROMPT = [{"role": "user", "content": "Name a river."}]

# per stage: config, sample, schema of further columns, and one other value for each config field
CASES = {
    "load_prompts": (
        {"path": "in.jsonl"},
        [],
        None,
        {
            "path": "other.jsonl",
            "dataset": {"dataset": "a/b", "revision": "abc", "path": None},
            "revision": {"dataset": "a/b", "revision": "abd", "path": None},
            "config_name": {"dataset": "a/b", "revision": "abc", "config_name": "x", "path": None},
            "split": "test",
            "column": "text",
            "id_column": "key",
            "keep_columns": {"topic": "string"},
            "base_folder": "elsewhere",
        },
    ),
    "load_domains": ({"domains": ["a"]}, [], None, {"domains": ["b"]}),
    "extract_skills": (
        {},
        {"id": "d", "domain": "gardening"},
        None,
        {"topics": 2, "skills_per_topic": 2, "query_types": 2, "temperature": 0.1, "max_tokens": 9, "attempts": 1},
    ),
    "plan_skillmix": ({"n": 1}, PLAN_ROWS, None, {"n": 2, "k": 1, "query_type_sampling": "iid", "sampler": "release"}),
    "synthesize_skillmix": (
        {},
        {"id": "p", "skills": ["weighing", "sequencing"], "query_type": "how_to", "query_type_definition": None},
        None,
        {"mode": "one_turn", "temperature": 0.1, "max_tokens": 9, "attempts": 1},
    ),
    "sample_responses": (
        {},
        {"id": "p", "prompt": PROMPT},
        None,
        {"n": 2, "temperature": 0.1, "top_p": 0.5, "max_tokens": 9, "stop": ["x"], "system": "Hi.", "logprobs": False},
    ),
    "score_logprobs": (
        {},
        {"id": "r", "prompt": PROMPT, "response": "The Danube."},
        None,
        {"column": "other", "include_eos": False, "reuse": False},
    ),
    "density_ratio": (
        {},
        [{"id": "r", "strong_logprob": -1.0, "weak_logprob": -2.0}],
        None,
        {
            "numerator": "a",
            "denominator": "b",
            "normalize": "per_byte",
            "column": "x",
            "guard_low_likelihood": {"guard_low_likelihood": True, "normalize": "per_own_token"},
            "guard_repetition": {"guard_repetition": True, "normalize": "per_own_token"},
            "sigmoid_temperature": 0.03,
        },
    ),
    "select_pairs": (
        {},
        [candidate(0, 0.1), candidate(1, 0.7), candidate(2, 0.4)],
        None,
        {
            "score": "other",
            "rule": "margin",
            "min_margin": 0.5,
            "max_pairs_per_prompt": 2,
            "ties": "drop",
            "min_candidates": 3,
            "allow_truncated_chosen": True,
            "drop_truncated": True,
        },
    ),
}
ONE_VALUE = {("score_logprobs", "conditioning")}  # a choice of one has no other value


@pytest.fixture
def make(tmp_path, monkeypatch):
    (tmp_path / "in.jsonl").write_text(json.dumps({"prompt": "Why?"}) + "\n", "utf-8")
    monkeypatch.chdir(tmp_path)

    def build(name, **changes):
        cls = STAGES[name]
        return cls(cls.config_type(**(CASES[name][0] | changes)))

    return build


@pytest.mark.parametrize("name", STAGES)
def test_stage_keeps_the_contract(name, make):
    _, sample, schema, _ = CASES[name]
    check_stage(make(name), sample, scripted, schema)


@pytest.mark.parametrize("name", STAGES)
def test_stage_survives_cloudpickle(name, make):
    stage = make(name)
    again = cloudpickle.loads(cloudpickle.dumps(stage))
    assert (again.config, again.inputs, again.outputs) == (stage.config, stage.inputs, stage.outputs)


@pytest.mark.parametrize("name", STAGES)
def test_each_config_field_changes_the_fingerprint_unless_it_is_execution_only(name):
    config_type, (base, _, _, other) = STAGES[name].config_type, CASES[name]
    plain = config_type(**base).fingerprint_fields()
    for field, info in config_type.model_fields.items():
        if (name, field) in ONE_VALUE:
            continue
        changes = other[field] if isinstance(other[field], dict) and field in other[field] else {field: other[field]}
        same = config_type(**(base | changes)).fingerprint_fields() == plain
        assert same == any(isinstance(m, ExecutionOnly) for m in info.metadata), field


def test_stage_versions_match_the_lock_file():
    locked, current = json.loads(REFRESH["LOCK"].read_text("utf-8")), REFRESH["current"]()
    moved = {name for name in current if current[name] != locked.get(name)}
    assert not moved and locked.keys() == current.keys(), (
        f"the code of {sorted(moved) or sorted(locked)} changed: raise 'version' of each stage whose output for equal "
        "input may differ, then run 'python tests/contract/refresh_versions.py'"
    )


def test_lock_ignores_docstrings_comments_and_layout(tmp_path):
    one, other, third = (tmp_path / f"{n}.py" for n in "abc")
    one.write_text('"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 1\n', "utf-8")
    other.write_text('"""Other."""\n# comment\ndef f(x):\n\n    """Other."""\n    return (x +\n        1)\n', "utf-8")
    third.write_text('"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 2\n', "utf-8")
    digest = REFRESH["syntax_digest"]
    assert digest(one) == digest(other) != digest(third)


@pytest.mark.parametrize("path", sorted((ROOT / "stages").rglob("*.py")), ids=lambda p: p.stem)
def test_stages_import_only_the_public_api(path):
    allowed = ("pipeline.api", "stages.", "numpy", "pyarrow", "pydantic", "datasets")
    tree = ast.parse(path.read_text("utf-8"))
    names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    foreign = [n for n in names if n.split(".")[0] not in sys.stdlib_module_names and not n.startswith(allowed)]
    assert not foreign


def codes_in(text):
    return set(re.findall(r"\b(?:source|skills|plan|skillmix|responses|score|density|pairs)\.[a-z][a-z_]+\b", text))


@pytest.mark.parametrize("name", STAGES)
def test_each_reject_code_of_the_docstring_has_a_test(name):
    tests = [*(ROOT / "tests/unit/stages").rglob("*.py"), *(ROOT / "tests/golden").rglob("expected.json")]
    tested = codes_in("".join(p.read_text("utf-8") for p in tests))
    assert codes_in(STAGES[name].__doc__) <= tested


def test_pair_prompts_stay_messages():
    assert STAGES["select_pairs"].outputs.field("prompt").type == MESSAGES
    assert STAGES["select_pairs"].outputs.field("candidate_ids").type == pa.list_(pa.string())
