"""Rule sets from files of every kind, and what is wrong with a file."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.api import PrerequisiteError
from stages.rules.rule_sets import Rule, load_rules, rules_digest
from stages.rules.rule_texts import rule_id_of
from tests.unit.stages.rules_parts import SHARED, write_rules

SHORT = Rule(rule_id_of("Be short."), "Be short.")


def written(folder, name, value):
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


def test_a_list_of_texts_is_read(tmp_path):
    assert load_rules(written(tmp_path, "r.json", ["Be\n short.", {"rule": "Be kind.", "rule_id": "k"}])) == (
        SHORT,
        Rule("k", "Be kind."),
    )


def test_one_of_several_named_lists_is_read(tmp_path):
    path = written(tmp_path, "r.json", {"uf": ["Be kind."], "mt": ["Be short."]})
    assert load_rules(path, "mt") == (SHORT,)


@pytest.mark.parametrize("name", ["r.jsonl", "r.parquet"])
def test_of_rows_of_a_run_those_that_were_not_kept_are_left_out(tmp_path, name):
    rows = [{"rule": "Be kind.", "kept": False, "x": 1}, {"rule": "Be short.", "kept": True, "x": 2}]
    if name == "r.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    else:
        write_rules(tmp_path, *rows)
        (tmp_path / "rules.jsonl").rename(tmp_path / name)
    assert load_rules(tmp_path / name) == (SHORT,)


@pytest.mark.parametrize(
    ("name", "value", "rule_set", "said"),
    [
        ("r.json", {"uf": ["a b"]}, None, "set 'rule_set'"),
        ("r.json", {"uf": ["a b"]}, "mt", "set 'rule_set'"),
        ("r.json", ["a b"], "uf", "leave 'rule_set' out"),
        ("r.jsonl", "", "uf", "leave 'rule_set' out"),
        ("r.json", "[", None, "cannot be read as JSON"),
        ("r.json", {"uf": 3}, "uf", "expected a list"),
        ("r.json", [], None, "no rule to use"),
        ("r.jsonl", '{"rule": "a b", "kept": false}\n', None, "no rule to use"),
        ("r.jsonl", "{\n", None, "mend or remove"),
        ("r.json", [3], None, "has no rule"),
        ("r.json", ["..."], None, "has no rule"),
        ("r.jsonl", '{"text": "a b"}\n', None, "has no rule"),
        ("r.jsonl", '{"rule": "a b", "rule_id": 3}\n', None, "'rule_id' that is no text"),
        ("r.json", ["Be short.", "be short"], None, "twice"),
        ("r.json", [{"rule": "a b", "rule_id": "x"}, {"rule": "c d", "rule_id": "x"}], None, "twice"),
        ("100%.json", ["Be short.", "be short"], None, "the rule 'be short' stands twice"),
        ("r.json", '["\\ud800 is short"]', None, "entry 1 .* lone surrogates"),
        ("r.json", [{"rule": "a b", "rule_id": "\ud800"}], None, "lone surrogates"),
        ("r.jsonl", '{"rule": "a b", "kept": 0}\n', None, "entry 1 .* expected true or false"),
        ("r.jsonl", '{"rule": "a b", "kept": "false"}\n', None, "expected true or false"),
        ("r.json", {}, None, "by name .none."),
        ("r.jsonl", "", None, "it is empty"),
        ("r.jsonl", '{"rule": "a b", "kept": false}\n' * 2, None, "none of its 2 rows is 'kept'"),
        ("r.txt", "Be short.", None, "expected .json"),
    ],
)
def test_a_file_that_cannot_be_read_in_full_says_what_to_do(tmp_path, name, value, rule_set, said):
    with pytest.raises(PrerequisiteError, match=said):
        load_rules(written(tmp_path, name, value), rule_set)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(PrerequisiteError, match=r"none\.jsonl.*recipe's folder"):
        load_rules(tmp_path / "none.jsonl")


def test_the_digest_follows_the_content(tmp_path):
    one, other = written(tmp_path, "a.json", ["a b"]), written(tmp_path, "b.json", ["a c"])
    assert rules_digest(one)[0] == "a.json" and rules_digest(one)[1] != rules_digest(other)[1]


@pytest.mark.parametrize(("name", "size"), [("uf", 25), ("mt", 20), ("uf_exp", 30)])
def test_the_published_lists_load(name, size):
    if not SHARED.is_dir():
        pytest.skip("needs the published rule lists of the shared data")
    rules = load_rules(SHARED / "autorule_rules.json", name)
    assert len({r.rule_id for r in rules}) == len({r.text for r in rules}) == size
