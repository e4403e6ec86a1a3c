"""`prefmill audit`: what the command measures on rows of a real run, what it prints, and what it refuses."""

from __future__ import annotations

import re
import sys

import pytest

from pipeline.audit.measure import measure
from pipeline.errors import PrerequisiteError
from pipeline.plan.recipe import AnnotatorSpec
from pipeline.store.manifest import open_run
from tests.support import prefmill
from tests.unit.audit.judges import (
    by_score,
    install,
    labelled,
    scoring,
    source,
    write_audit,
    write_pairs,
)


@pytest.fixture(scope="module", autouse=True)
def judges(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    install(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield
    sys.modules.pop("plug_judges", None)


@pytest.fixture
def audit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(stages, entries, *options, records=None, **more):
        path = write_audit(tmp_path, stages, entries, labelled() if records is None else records, **more)
        return prefmill("audit", path, *options)

    return run


def judge_stage(**more):
    return {"id": "verdicts", "use": "own_pairs", "from": "pairs", "roles": {"judge": "judge"}, **more}


def says(text):
    return {"engines": {"judge": {"kind": "scripted", "rules": [{"when": ".", "replies": [text]}]}}}


PREFERRED = {"name": "judge", "stage": "verdicts", "preference": "preference", "consistent": "consistent"}


def figures(result, name, subset="all"):
    assert result.code in (0, 6), result.err
    return result.json["figures"][subset][name]


def test_a_judge_that_is_always_right_is_told_from_guessing(audit):
    result = audit([source(), scoring("right")], [by_score("right")], "--json")
    found = figures(result, "right")
    assert (found["judged"], found["accuracy"], found["mean_margin"], found["ties"]) == (8, 1.0, 1.0, 0)
    assert (found["longer_wins"], found["slope"]) == (0.5, pytest.approx(0, abs=0.1))
    assert result.json["remarks"] == []


def test_an_always_longer_judge_is_exposed(audit):
    result = audit([source(), scoring("longer")], [by_score("longer")], "--json")
    found = figures(result, "longer")
    assert (found["accuracy"], found["longer_wins"]) == (0.5, 1.0) and found["slope_low"] > 0
    assert any("longer is a length reward" in line for line in result.json["remarks"])
    [agreement] = result.json["agreements"]
    assert (agreement["other"], agreement["same"], agreement["kappa"]) == ("length", 1.0, 1.0)


def test_a_good_judge_that_mostly_picks_the_longer_is_told_to_control_for_length(audit):
    records = labelled(40, right_is_longer=34)
    result = audit([source(), scoring("right")], [by_score("right")], "--json", records=records)
    assert result.json["remarks"] == [
        "right follows length: the longer response wins 85% of its pairs; control for length."
    ]


def test_an_always_first_judge_gives_only_ties_and_flips_everywhere(audit):
    result = audit([source("pairs"), judge_stage()], [PREFERRED], "--json", **says("1"))
    found = figures(result, "judge")
    assert (found["ties"], found["accuracy"], found["flip_rate"], found["flips_known"]) == (8, 0.5, 1.0, 8)
    assert any("with the order of showing in 100%" in line for line in result.json["remarks"])


def test_flips_may_be_told_as_a_share(audit):
    entry = {"name": "judge", "stage": "verdicts", "preference": "preference", "flips": "flipped"}
    assert figures(audit([source("pairs"), judge_stage()], [entry], "--json", **says("2")), "judge")["flip_rate"] == 1.0


def test_requests_and_tokens_are_told_by_annotator_and_stage(audit):
    result = audit([source("pairs"), judge_stage()], [PREFERRED], "--json", **says("1 it is"))
    cost = {c["stage"]: c["usage"] for c in result.json["costs"]}
    assert cost["pairs"] is None and cost["verdicts"]["requests"] == result.json["usage"]["judge"]["requests"] == 16


def test_figures_stand_by_subset_beside_those_of_all(audit):
    result = audit([source(), scoring("longer")], [by_score("longer")], "--json", records=labelled(6, 3))
    assert list(result.json["figures"]) == ["all", "even", "odd"]
    assert figures(result, "longer", "even")["accuracy"] == pytest.approx(2 / 3)
    shown = audit([source(), scoring("longer")], [by_score("longer")], records=labelled(6, 3))
    assert "accuracy by subset" in shown.out and "odd" in shown.out


def test_items_that_people_tie_are_reported_apart(audit):
    records = [
        *labelled(),
        {"id": "t", "prompt": "Q?", "response_a": "right", "response_b": "right too", "label": "tie"},
    ]
    result = audit([source(), scoring("right")], [by_score("right")], "--json", records=records)
    found = figures(result, "right")
    assert (found["labelled"], found["people_tied"], found["tied_too"]) == (8, 1, 1)
    assert result.json["items"] == {"labelled": 8, "tie": 1}
    assert (
        "items that people call a tie" in audit([source(), scoring("right")], [by_score("right")], records=records).out
    )


def test_items_that_were_not_judged_count_as_a_guess_in_a_figure_of_their_own(audit):
    result = audit([source(), scoring("short")], [by_score("short")], "--json", records=labelled(8, 0)[:6])
    assert figures(result, "short")["judged"] == 0 and result.json["remarks"][0].startswith("short judged no item")
    both = [{"id": "s", "prompt": "Q?", "response_a": "right", "response_b": "no", "label": "a"}, *labelled(3, 0)]
    result = audit([source(), scoring("short", "again")], [by_score("again")], "--json", "--run-dir", "b", records=both)
    found = figures(result, "again")
    assert (result.code, found["judged"], found["accuracy"], found["accuracy_of_all"]) == (6, 1, 1.0, (1 + 3 * 0.5) / 4)
    assert any("judged 1 of 4 items" in line for line in result.json["remarks"])
    assert [c["rejects"] for c in result.json["costs"]] == [{}, {"own.long": 3}]


def test_a_score_may_be_divided_by_another_column(audit):
    entry = {"name": "dense", "stage": "right", "score": "score", "per": "size"}
    found = figures(audit([source(), scoring("right")], [entry], "--json"), "dense")
    assert found["accuracy"] == 1.0 and 0 < found["mean_margin"] < 0.2


@pytest.mark.parametrize("rule", ["none", "nan"])
def test_verdicts_that_are_no_numbers_are_not_judged(audit, rule):
    stages = [source(), scoring("right"), scoring(rule, from_="right")]
    result = audit(stages, [by_score("right"), by_score(rule)], "--json")
    assert (figures(result, rule)["judged"], figures(result, rule)["accuracy"]) == (0, None)
    assert figures(result, "right")["accuracy"] == 1.0


def test_verdicts_on_rows_with_ids_of_their_own_are_refused(audit):
    stages = [source(), scoring("right"), {"id": "copies", "use": "own_copies", "from": "right"}]
    err = audit(stages, [by_score("copies")]).err
    assert "none of the 16 rows of stage 'copies' has an id of 'responses'" in err


def test_pair_verdicts_without_a_value_are_not_judged(audit):
    stage = {"id": "verdicts", "use": "own_silent", "from": "pairs"}
    assert figures(audit([source("pairs"), stage], [PREFERRED], "--json"), "judge")["judged"] == 0


def test_best_of_four_is_measured_whole(audit, tmp_path):
    record = {"id": 1, "prompt": "Q?", "chosen": ["right"], "rejected": ["no", "nope", "never"], "num_correct": 1}
    records = [record, record | {"id": 2, "chosen": ["wrong"]}]
    result = audit([source(), scoring("right")], [by_score("right")], "--json", records=records)
    found = figures(result, "right")
    assert found["accuracy"] == (1 + 0.25) / 2 and found["guessing"] == 0.25


def test_an_item_that_the_limit_cuts_is_left_out(audit):
    record = {"prompt": "Q?", "chosen": ["right"], "rejected": ["no", "nope", "never"], "num_correct": 1}
    records = [record | {"id": i} for i in range(3)]
    result = audit([source(), scoring("right")], [by_score("right")], "--json", "--limit", 6, records=records)
    assert result.json["items"] == {"labelled": 1, "incomplete": 1} and figures(result, "right")["labelled"] == 1


def test_a_limit_that_leaves_no_whole_item_is_refused_before_any_verdict(audit):
    result = audit([source("pairs"), judge_stage()], [PREFERRED], "--limit", 1, **says("1"))
    assert result.code == 0
    result = audit([source(), scoring("right")], [by_score("right")], "--limit", 1)
    assert result.code == 2 and "--limit 1 counts rows" in result.err and "done" not in result.err


def test_an_item_of_which_a_response_was_rejected_is_not_judged(audit):
    record = {"prompt": "Q?", "chosen": ["right"], "rejected": ["no", "nope", "never" * 20], "num_correct": 1}
    records = [record | {"id": 1}, record | {"id": 2, "rejected": ["no"]}]
    found = figures(audit([source(), scoring("short")], [by_score("short")], "--json", records=records), "short")
    assert (found["labelled"], found["judged"], found["accuracy_of_all"]) == (2, 1, (0.25 + 1) / 2)


def test_a_preference_on_another_scale_is_refused(audit):
    entry = {"name": "judge", "stage": "verdicts", "preference": "signed"}
    result = audit([source("pairs"), judge_stage()], [entry], **says("1 then 2"))
    assert result.code == 2 and "column 'signed' of stage 'verdicts' holds -1 in row" in result.err


def test_shares_of_flips_outside_their_range_are_refused_and_missing_ones_left_out(audit):
    entry = {"name": "judge", "stage": "verdicts", "preference": "preference", "flips": "counted"}
    result = audit([source("pairs"), judge_stage()], [entry], **says("1"))
    assert result.code == 2 and "column 'counted' of stage 'verdicts' holds 2 in row" in result.err
    entry["flips"] = "unknown"
    result = audit([source("pairs"), judge_stage()], [entry], "--json", **says("1"))
    assert (figures(result, "judge")["flips_known"], figures(result, "judge")["flip_rate"]) == (0, None)


def test_a_score_divided_by_next_to_nothing_is_no_verdict(audit):
    entry = {"name": "odd", "stage": "right", "score": "size", "per": "tiny"}
    assert figures(audit([source(), scoring("right")], [entry], "--json"), "odd")["judged"] == 0


def test_a_subset_that_is_called_all_keeps_its_figures(audit):
    records = [r | {"subset": "all"} if i % 2 else r for i, r in enumerate(labelled())]
    result = audit([source(), scoring("right")], [by_score("right")], "--json", records=records)
    found = {subset: f["right"]["labelled"] for subset, f in result.json["figures"].items()}
    assert found == {"all": 8, "subset 'all'": 4, "even": 4}


def test_annotators_with_fewer_items_than_the_first_say_so(audit):
    stages = [source(), scoring("right"), source("pairs", half="first"), judge_stage()]
    shown = audit(stages, [by_score("right"), PREFERRED], **says("1")).out
    assert "accuracy on 8 labelled items" in shown and re.search(r"^judge +[1-7] of [1-7] ", shown, re.MULTILINE)


def test_annotators_of_response_and_of_pair_rows_meet_in_the_agreement(audit):
    stages = [source(), scoring("right"), source("pairs"), judge_stage()]
    result = audit(stages, [by_score("right"), PREFERRED], "--json", **says("1"))
    pair = next(a for a in result.json["agreements"] if (a["one"], a["other"]) == ("right", "judge"))
    assert (pair["pairs"], pair["same"]) == (8, 0.0)


def test_a_second_audit_asks_nothing_again(audit):
    options = ([source("pairs"), judge_stage()], [PREFERRED], "--json")
    first = audit(*options, **says("1"))
    again = audit(*options, **says("1"))
    assert again.json == first.json and "from before" in again.err


def test_the_tables_name_every_figure(audit):
    shown = audit([source(), scoring("right")], [by_score("right")]).out
    titles = [line.removeprefix("audit: ") for line in shown.splitlines() if line.startswith("audit: ")]
    assert titles == [
        "accuracy on 8 labelled items (guessing: 0.500)",
        "length",
        "accuracy by subset",
        "agreement",
        "cost by annotator",
        "cost by stage",
    ]
    assert shown.splitlines()[-1].startswith("run folder: ")


def test_other_data_is_measured_in_a_run_folder_of_its_own(audit, tmp_path):
    records = [{"input": f"Q{i}?", "output_1": "right", "output_2": "no", "label": 1} for i in range(3)]
    (tmp_path / "elsewhere").mkdir()
    other = write_pairs(tmp_path / "elsewhere", records, "natural.jsonl")
    stages = [source(format="pairs"), scoring("right")]
    result = audit(stages, [by_score("right")], "--data", other, "--format", "llmbar", "--limit", 4, "--json")
    assert figures(result, "right")["labelled"] == 2 and result.json["folder"] == "runs/measured-natural-limit4"
    assert figures(audit(stages, [by_score("right")], "--data", other, "--json"), "right")["labelled"] == 3
    assert "lacks input" in audit(stages, [by_score("right")], "--format", "llmbar", "--run-dir", "x").err


def test_files_that_are_all_called_dataset_have_run_folders_of_their_own(audit, tmp_path):
    stages = [source(), scoring("right")]
    for name, n in (("Natural", 2), ("Manual", 3)):
        other = write_pairs(tmp_path / name, labelled(n), "dataset.jsonl")
        result = audit(stages, [by_score("right")], "--data", other, "--json")
        assert result.json["folder"] == f"runs/measured-{name}-dataset"
        assert figures(result, "right")["labelled"] == n
    found = audit(stages, [by_score("right")], "--data", tmp_path / "Manual", "--json")
    assert found.json["folder"] == "runs/measured-Manual"


def test_the_page_stands_alone_and_escapes_what_comes_from_data(audit, tmp_path):
    records = [r | {"subset": "<script>alert(1)</script>"} if i else r for i, r in enumerate(labelled())]
    stages = [source(), scoring("right"), scoring("longer", from_="right")]
    entries = [by_score("right"), by_score("longer")]
    assert audit(stages, entries, "--page", "page.html", records=records).code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<svg") >= 4 and "&lt;script&gt;" in page
    assert not any(word in page for word in ("<script", "http:", "https:", "src=", "@import", "url("))
    assert "longer is a length reward" in page and "cost by stage" in page and "Accuracy by margin: longer" in page


def test_a_page_that_cannot_be_written_is_told(audit):
    result = audit([source(), scoring("right")], [by_score("right")], "--page", "absent/page.html")
    assert result.code == 2 and "'absent/page.html' cannot be written" in result.err and "done" not in result.err


def test_data_that_is_not_there_is_told(audit):
    result = audit([source(), scoring("right")], [by_score("right")], "--data", "absent.jsonl")
    assert result.code == 2 and "there is no such file" in result.err


def test_a_recipe_without_annotators_is_refused(audit):
    assert "has no 'audit:'" in audit([source(), scoring("right")], []).err


def test_data_without_a_better_response_is_refused(audit):
    records = [r | {"label": None} for r in labelled()]
    refused = audit([source(), scoring("right")], [by_score("right")], records=records)
    assert "an audit needs labels" in refused.err and refused.code == 2 and "done" not in refused.err
    records = [r | {"label": "A"} for r in labelled()]
    refused = audit([source(), scoring("right")], [by_score("right")], records=records)
    assert "8 records are rejects, the first: preferences.bad_label: 'label' holds 'A'" in refused.err


def test_data_for_a_recipe_without_a_labelled_source_is_refused(audit, tmp_path):
    write_pairs(tmp_path, [{"prompt": "Q?"}], "prompts.jsonl")
    stages = [{"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}}]
    entry = {"name": "x", "stage": "prompts", "score": "id"}
    assert "has no such stage" in audit(stages, [entry], "--data", "prompts.jsonl").err
    assert "lacks prompt_id, label, subset, response" in audit(stages, [entry]).err


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (by_score("right") | {"stage": "rigt"}, "no stage 'rigt'; stages: responses, right. Did you mean 'right'?"),
        (by_score("right") | {"score": "scor"}, "gives no column 'scor'"),
        (by_score("right") | {"score": "words"}, "has type string; expected a number"),
        (by_score("right") | {"per": "words"}, "has type string; expected a number"),
        ({"name": "j", "stage": "right", "preference": "score"}, "lacks response_a, response_b"),
    ],
)
def test_an_annotator_that_cannot_be_read_is_refused_in_planning(audit, entry, told):
    result = audit([source(), scoring("right")], [entry])
    assert result.code == 2 and told in result.err


@pytest.mark.parametrize(
    ("column", "told"), [({"consistent": "preference"}, "expected yes or no"), ({"flips": "label"}, "a number or yes")]
)
def test_a_column_of_another_type_is_refused_for_the_order_too(audit, column, told):
    entry = {"name": "judge", "stage": "verdicts", "preference": "preference", **column}
    assert told in audit([source("pairs"), judge_stage()], [entry], **says("1")).err


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"name": "x", "stage": "right"}], "exactly one of 'score'"),
        ([by_score("right", preference="score")], "exactly one of 'score'"),
        ([by_score("right", consistent="c")], "go with 'preference'"),
        ([{"name": "j", "stage": "right", "preference": "p", "consistent": "c", "flips": "f"}], "give one of them"),
        ([{"name": "j", "stage": "right", "preference": "p", "per": "n"}], "a preference is not divided"),
        ([by_score("right") | {"name": "length"}], "the audit's own annotator"),
        ([by_score("right"), by_score("right")], "two annotators 'right'"),
    ],
)
def test_entries_that_make_no_sense_are_refused(audit, entries, told):
    assert told in audit([source(), scoring("right")], entries).err


def test_a_run_without_labels_cannot_be_measured(audit):
    records = [r | {"label": None} for r in labelled()]
    audit([source(), scoring("right")], [by_score("right")], records=records)
    assert prefmill("run", "recipe.yaml", "--run-dir", "run").code == 0
    with pytest.raises(PrerequisiteError, match="none of the 8 items of 'responses'"):
        measure(open_run("run"), [AnnotatorSpec(**by_score("right"))])
