import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.testing import process_table
from stages.preference.group_responses import GroupResponses, GroupResponsesConfig
from stages.preference.ungroup_responses import UngroupResponses, UngroupResponsesConfig

KEPT = {"lists": {"reward": "float"}, "prompt_columns": {"topic": "string"}}


def response(prompt, i, text=None, reward=0.0):
    return {
        "id": f"{prompt}{i}",
        "prompt_id": prompt,
        "prompt": [{"role": "user", "content": f"About {prompt}?"}],
        "response": text if text is not None else f"{prompt} {i}",
        "reward": reward,
        "topic": f"topic of {prompt}",
    }


def group(rows, **config):
    return process_table(GroupResponses(GroupResponsesConfig(**config)), rows)


def ungroup(rows, **config):
    return process_table(UngroupResponses(UngroupResponsesConfig(**config)), rows)


def one_group(**changes):
    row = {"id": "p", "prompt_id": "p", "prompt": [{"role": "user", "content": "Why?"}], "response_ids": ["a", "b"]}
    return {**row, "responses": ["yes", "no"], "win_rates": [0.7, 0.3]} | changes


def codes(result):
    return {r.row["id"]: r.code for r in result.rejects}


class TestGrouping:
    def test_responses_of_a_prompt_come_together_wherever_they_lie(self):
        rows = [response("q", 0), response("p", 0, reward=0.5), response("q", 1), response("p", 1, reward=0.25)]
        found = group(rows, **KEPT).table.to_pylist()
        assert [g["id"] for g in found] == ["q", "p"] and found[0]["prompt_id"] == "q"
        assert found[1]["response_ids"] == ["p0", "p1"] and found[1]["responses"] == ["p 0", "p 1"]
        assert found[1]["reward"] == [0.5, 0.25] and found[1]["topic"] == "topic of p"
        assert found[1]["prompt"] == [{"role": "user", "content": "About p?"}]

    def test_ungrouping_undoes_it(self):
        rows = [response(p, i, reward=i / 4) for p in "pq" for i in range(3)]
        again = ungroup(group(rows, **KEPT).table.to_pylist(), **KEPT)
        assert again.table.select(list(rows[0])).to_pylist() == rows and not again.rejects

    def test_equal_texts_are_merged_and_named_where_asked(self):
        rows = [response("p", 0, "One  two"), response("p", 1, "other"), response("p", 2, "One two\n")]
        (kept,) = group(rows).table.to_pylist()
        (merged,) = group(rows, duplicates="first").table.to_pylist()
        assert kept["response_ids"] == ["p0", "p1", "p2"] and kept["merged_ids"] == []
        assert merged["response_ids"] == ["p0", "p1"] and merged["merged_ids"] == ["p2"]

    def test_the_same_text_under_two_prompts_is_no_duplicate(self):
        rows = [response(p, i, text) for p in "pq" for i, text in enumerate(("same", "other"))]
        assert [len(g["responses"]) for g in group(rows, duplicates="first").table.to_pylist()] == [2, 2]

    def test_a_prompt_with_too_few_different_responses_is_set_aside_whole(self):
        rows = [response("p", 0, "x"), response("p", 1, "x "), response("q", 0), response("q", 1)]
        found = group(rows, duplicates="first")
        assert codes(found) == {"p0": "groups.too_few", "p1": "groups.too_few"}
        assert [g["id"] for g in found.table.to_pylist()] == ["q"]

    def test_a_response_without_text_or_prompt_is_set_aside_alone(self):
        rows = [response("p", 0) | {"response": None}, response("p", 1), response("p", 2)]
        rows.append(response("q", 0) | {"prompt_id": None})
        found = group(rows)
        assert codes(found) == {"p0": "groups.incomplete", "q0": "groups.incomplete"}
        assert found.table.column("response_ids").to_pylist() == [["p1", "p2"]]

    @pytest.mark.parametrize("blank", ["", " \n\u3000"])
    def test_a_blank_response_does_not_take_its_prompt_along(self, blank):
        found = group([response("p", 0, blank), response("p", 1), response("p", 2)])
        assert codes(found) == {"p0": "groups.incomplete"}
        assert found.table.column("response_ids").to_pylist() == [["p1", "p2"]]

    @pytest.mark.parametrize(
        "change",
        [{"topic": "another"}, {"topic": None}, {"prompt": [{"role": "user", "content": "Another question?"}]}],
    )
    def test_responses_that_differ_in_what_they_should_share_are_set_aside(self, change):
        rows = [response("p", 0), response("q", 0), response("p", 1) | change, response("q", 1)]
        found = group(rows, **KEPT)
        assert codes(found) == {"p0": "groups.unlike", "p1": "groups.unlike"}
        assert f"'{next(iter(change))}'" in found.rejects[0].message
        assert [g["id"] for g in found.table.to_pylist()] == ["q"]

    def test_shared_nulls_and_lists_are_the_same(self):
        rows = [response("p", i) | {"topic": None, "tags": ["a", "b"]} for i in range(2)]
        (found,) = group(rows, prompt_columns={"topic": "string", "tags": "list<string>"}).table.to_pylist()
        assert found["topic"] is None and found["tags"] == ["a", "b"]

    def test_no_rows_give_no_rows(self):
        found = group([response("p", 0) | {"response": None}], **KEPT)
        assert found.table.num_rows == 0 and found.table.column("reward").type == pa.list_(pa.float64())

    def test_a_table_in_several_chunks_is_one_table(self):
        stage = GroupResponses(GroupResponsesConfig())
        tables = [pa.Table.from_pylist([response("p", i)], schema=stage.inputs) for i in range(2)]
        assert stage.process_table(pa.concat_tables(tables), None).table["response_ids"].to_pylist() == [["p0", "p1"]]

    def test_rows_of_a_prompt_become_one_and_n_again(self):
        assert GroupResponses(GroupResponsesConfig()).yields().per_prompt
        assert [f.name for f in UngroupResponses(UngroupResponsesConfig()).yields().factors] == ["n"]

    @pytest.mark.parametrize("config", [{"lists": {"id": "string"}}, {**KEPT, "lists": {"topic": "string"}}])
    def test_a_column_that_is_there_already_is_refused(self, config):
        with pytest.raises(ValidationError, match="there already"):
            GroupResponsesConfig(**config)
        with pytest.raises(ValidationError, match="there already"):
            UngroupResponsesConfig(**config)

    def test_a_column_that_is_read_anyway_may_be_named(self):
        (found,) = group([response("p", 0), response("p", 1)], lists={"response": "string"}).table.to_pylist()
        assert found["response"] == found["responses"]
        (row, _) = ungroup([one_group()], lists={"responses": "string"}).table.to_pylist()
        assert row["responses"] == row["response"]

    def test_a_column_that_would_be_read_as_two_types_is_refused(self):
        with pytest.raises(ValidationError, match="leave one of them out"):
            GroupResponsesConfig(lists={"response": "int"})
        with pytest.raises(ValidationError, match="leave one of them out"):
            UngroupResponsesConfig(prompt_columns={"responses": "string"})


class TestUngrouping:
    def test_what_was_found_out_becomes_a_column_of_the_responses(self):
        rows = ungroup([one_group()], lists={"win_rates": "float"}).table.to_pylist()
        assert [(r["id"], r["response"], r["win_rates"]) for r in rows] == [("a", "yes", 0.7), ("b", "no", 0.3)]
        assert {r["prompt_id"] for r in rows} == {"p"}

    @pytest.mark.parametrize("changes", [{"win_rates": [0.7]}, {"win_rates": None}, {"responses": ["yes"]}])
    def test_a_list_of_another_length_is_refused(self, changes):
        found = ungroup([one_group(**changes)], lists={"win_rates": "float"})
        assert codes(found) == {"p": "groups.unequal_lists"} and found.table.num_rows == 0

    def test_an_id_may_stand_but_once(self):
        twice = one_group(id="q", prompt_id="q", response_ids=["c", "c"])
        later = one_group(id="r", prompt_id="r")
        assert codes(ungroup([one_group(), twice, later])) == {"q": "groups.repeated_id", "r": "groups.repeated_id"}

    @pytest.mark.parametrize("ids", [None, []])
    def test_a_prompt_without_responses_does_not_fall_out_silently(self, ids):
        found = ungroup([one_group(response_ids=ids, responses=ids)])
        assert codes(found) == {"p": "groups.no_responses"}

    def test_a_response_without_an_id_is_refused(self):
        assert codes(ungroup([one_group(response_ids=["a", None])])) == {"p": "groups.repeated_id"}

    def test_a_row_that_is_no_group_is_refused(self):
        assert codes(ungroup([one_group(prompt_id="other")])) == {"p": "groups.foreign"}
