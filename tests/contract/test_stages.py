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


# Files in `cases/` each define CASES and, where needed, FILES, REPLIES and ONE_VALUE. CASES, per stage: config, sample,
# schema of further columns, and one other value for each config field (a dict that holds the field itself stands for
# several changes). FILES are written where the stages run; REPLIES are reply functions per stage; ONE_VALUE names
# (stage, field) of choices of one.
CASES, FILES, REPLIES, ONE_VALUE = {}, {}, {}, set()
for file in sorted(Path(__file__).with_name("cases").glob("*.py")):
    part = runpy.run_path(str(file))
    CASES |= part["CASES"]
    FILES |= part.get("FILES", {})
    REPLIES |= part.get("REPLIES", {})
    ONE_VALUE |= part.get("ONE_VALUE", set())
LIBRARIES = ("datasketch", "py3langid", "phonenumbers", "warcio", "jsonschema", "math_verify", "sklearn")


@pytest.fixture
def make(tmp_path, monkeypatch):
    for file_name, text in FILES.items():
        (tmp_path / file_name).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)

    def build(name, **changes):
        cls = STAGES[name]
        return cls(cls.config_type(**(CASES[name][0] | changes)))

    return build


@pytest.mark.parametrize("name", STAGES)
def test_stage_keeps_the_contract(name, make):
    _, sample, schema, _ = CASES[name]
    check_stage(make(name), sample, REPLIES.get(name, scripted), schema)


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
    allowed = ("pipeline.api", "stages.", "numpy", "pyarrow", "pydantic", "datasets", *LIBRARIES)
    tree = ast.parse(path.read_text("utf-8"))
    names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    foreign = [n for n in names if n.split(".")[0] not in sys.stdlib_module_names and not n.startswith(allowed)]
    assert not foreign


def codes_in(text):
    """Return the reject codes that a stage's docstring lists, one a line."""
    return set(re.findall(r"^ {8}([a-z]+\.[a-z][a-z_]+):", text, re.MULTILINE))


@pytest.mark.parametrize("name", STAGES)
def test_each_reject_code_of_the_docstring_has_a_test(name):
    tests = [*(ROOT / "tests/unit/stages").rglob("*.py"), *(ROOT / "tests/golden").rglob("expected.json")]
    tested = "".join(p.read_text("utf-8") for p in tests)
    assert not {code for code in codes_in(STAGES[name].__doc__) if not re.search(rf"\b{re.escape(code)}\b", tested)}


def test_pair_prompts_stay_messages():
    assert STAGES["select_pairs"].outputs.field("prompt").type == MESSAGES
    assert STAGES["select_pairs"].outputs.field("candidate_ids").type == pa.list_(pa.string())
