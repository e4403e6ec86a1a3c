"""Figures, remarks, tables and plots from items and verdicts in memory."""

import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit.costs import StageCosts
from pipeline.audit.figures import figures, preferences
from pipeline.audit.items import Item
from pipeline.audit.measure import Audit
from pipeline.audit.page import page
from pipeline.audit.plots import Dot, dot_plot
from pipeline.audit.remarks import remarks
from pipeline.audit.tables import as_json, tables
from pipeline.audit.verdicts import Verdicts, by_length
from pipeline.stage import ReportTable
from pipeline.store.usage import Usage


def item(name, labels, lengths=(10, 5), subset="s"):
    return Item(name, subset, [f"{name}-{i}" for i in range(len(labels))], list(labels), list(lengths))


ITEMS = {
    i.id: i
    for i in (
        item("q1", (1.0, 0.0)),
        item("q2", (0.0, 1.0), (20, 50)),
        item("q3", (1.0, 0.0), (7, 7)),
        item("tie", (0.5, 0.5)),
        item("open", (None, None)),
        item("half", (1.0,), (3,)),
    )
}


def judged(scores, name="judge", flips=None):
    verdicts = Verdicts(name, ITEMS, scores, flips or {}, ["source", "verdicts"])
    return figures(verdicts, list(ITEMS.values()))


RIGHT = judged({"q1": (2.0, 1.0), "q2": (1.0, 2.0), "q3": (3.0, 1.0), "tie": (1.0, 1.0)})
WRONG = judged({"q1": (1.0, 2.0), "q2": (2.0, 1.0)}, flips={"q1": 1.0, "q2": 0.0})


def audit_of(found, **changes):
    base = Audit(
        "run <1>",
        "runs/x",
        {"labelled": 3},
        {"all": found},
        RIGHT,
        [],
        [StageCosts("verdicts", 4, 3, {"own.bad": 1}, Usage(4, 90, 7, 1))],
        {"judge": Usage(2, 0, 0, 2)},
        ["judge & co"],
        {"verdicts": [ReportTable("kept", ("what", "n"), (("rows", 3), ("share", 0.75), ("more", None)), "by <hand>")]},
    )
    return replace(base, **changes)


def test_only_items_with_a_better_response_are_scored():
    assert (RIGHT.labelled, RIGHT.judged, RIGHT.accuracy, RIGHT.mean_margin) == (3, 3, 1.0, pytest.approx(4 / 3))
    assert (RIGHT.people_tied, RIGHT.tied_too, RIGHT.unlike_lengths, RIGHT.longer_wins) == (1, 1, 2, 1.0)
    assert [ITEMS[i].kind for i in ("q1", "tie", "open", "half")] == ["labelled", "tie", "unlabelled", "incomplete"]


def test_items_not_judged_count_as_a_guess_in_the_figure_over_all():
    assert (WRONG.judged, WRONG.accuracy, WRONG.accuracy_of_all, WRONG.flip_rate) == (
        2,
        0.0,
        pytest.approx(0.5 / 3),
        0.5,
    )


def test_an_annotator_without_verdicts_has_no_figures():
    none = judged({})
    assert none.judged == 0 and none.accuracy_of_all == 0.5
    assert all(map(math.isnan, (none.accuracy, none.flip_rate, none.longer_wins, none.slope, none.mean_margin)))
    empty = figures(Verdicts("x", {}, {}), [])
    assert math.isnan(empty.accuracy_of_all) and math.isnan(empty.guessing)


def test_preferences_are_by_response_ids_whatever_their_order():
    one = preferences(Verdicts("x", ITEMS, {"q1": (2.0, 1.0), "q3": (1.0, 1.0), "tie": (2.0, 1.0)}))
    turned = {"q1": Item("q1", "s", ["q1-1", "q1-0"], [0.0, 1.0], [5, 10])}
    assert one == {("q1-0", "q1-1"): 1.0, ("q3-0", "q3-1"): 0.5}
    assert preferences(Verdicts("y", turned, {"q1": (1.0, 2.0)})) == {("q1-0", "q1-1"): 1.0}


def test_remarks_say_what_an_annotator_cannot_be_trusted_with():
    length = figures(by_length(ITEMS), list(ITEMS.values()))
    surely_wrong = replace(WRONG, accuracy_low=0.1, accuracy_high=0.4)
    lines = remarks(
        {
            "none": judged({}),
            "right": replace(RIGHT, accuracy_low=0.6, gain_low=0.1),
            "wrong": surely_wrong,
            "length": length,
        }
    )
    assert lines[0] == "none judged no item: of each, a verdict is missing, null or no number."
    assert lines[1] == "wrong is worse than guessing: its interval lies below 0.5; its sign may be wrong."
    assert lines[2] == "wrong is no better than length alone."
    assert "order of showing in 50%" in lines[3] and "judged 2 of 3 items" in lines[4] and len(lines) == 5
    assert "cannot be told from guessing: its interval holds 0.5" in remarks({"few": WRONG})[0]
    assert remarks({"short": replace(RIGHT, accuracy_low=0.6)}) == [
        "short is not surely better than length alone (gain 0.167, -0.160 to 0.493)."
    ]
    one = replace(RIGHT, accuracy_low=0.6, judged=1, labelled=1, gain=1.0, gain_low=math.nan, gain_high=math.nan)
    assert remarks({"one": one}) == ["one is not surely better than length alone (gain 1.000 on one item)."]


def test_the_gain_over_length_is_paired_by_item():
    assert RIGHT.gain == pytest.approx(0.5 / 3)
    assert RIGHT.gain_high - RIGHT.gain == pytest.approx(1.959964 * math.sqrt(1 / 12) / math.sqrt(3))
    one = figures(Verdicts("x", ITEMS, {"q1": (1.0, 2.0)}), [ITEMS["q1"]])
    assert one.gain == -1.0 and math.isnan(one.gain_low)


def test_sums_that_miss_requests_are_told_as_lower_bounds():
    rows = {t.title: t.rows for t in tables(audit_of({"judge": RIGHT}))}
    assert rows["cost by stage"] == (("verdicts", "4", "3", "own.bad 1", "4", ">=90", ">=7"),)
    assert rows["cost by annotator"] == (("judge", "2", "-", "-"),)


def test_json_has_null_where_there_is_no_figure():
    found = as_json(audit_of({"judge": judged({})}))
    assert found["figures"]["all"]["judge"]["accuracy"] is None and found["figures"]["all"]["judge"]["labelled"] == 3


def test_the_page_shows_reports_and_escapes_everything():
    length = figures(by_length(ITEMS), list(ITEMS.values()))
    text = page(audit_of({"a <b>": RIGHT, "none": judged({}), "length": length}))
    assert "run &lt;1&gt;" in text and "a &lt;b&gt;" in text and "judge &amp; co" in text
    assert "by &lt;hand&gt;" in text and "<td>0.75</td>" in text and "<td>-</td>" in text
    assert "Accuracy by margin: a &lt;b&gt;" in text


def test_a_plot_clips_labels_and_leaves_out_what_has_no_value():
    dots = [Dot("n" * 60, 0.5, 0.4, 0.6, "n=3"), Dot("none", math.nan, 0, 1)]
    text = dot_plot(dots, 'share & "more"', math.nan)
    assert 'aria-label="share &amp; &quot;more&quot;"' in text and ">share &amp; " in text
    assert text.count("<circle") == 1 and "n" * 35 + "..." in text and "mark" not in text and ">none</text>" in text


@st.composite
def judged_items(draw):
    """Items of two to four responses with labels, lengths and scores, and an order to list each anew."""
    found = []
    for i in range(draw(st.integers(1, 12))):
        size = draw(st.integers(2, 4))
        values = [draw(st.lists(st.integers(0, 5), min_size=size, max_size=size)) for _ in range(3)]
        found.append((f"q{i}", *values, draw(st.permutations(range(size)))))
    return found


@given(judged_items())
def test_the_order_in_which_a_file_lists_responses_changes_no_figure(found):
    def measured(order):
        items, scores = {}, {}
        for name, labels, lengths, values, listed in found:
            places = listed if order else range(len(labels))
            items[name] = Item(
                name,
                "s",
                [f"{name}-{p}" for p in places],
                [float(labels[p]) for p in places],
                [lengths[p] for p in places],
            )
            scores[name] = [float(values[p]) for p in places]
        verdicts = Verdicts("x", items, scores)
        return asdict(figures(verdicts, list(items.values()))) | {"said": preferences(verdicts)}

    assert measured(False) == approx_all(measured(True))


def approx_all(value):
    """Compare numbers to nine digits, wherever they stand."""
    if isinstance(value, dict):
        return {key: approx_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(approx_all(item) for item in value)
    return pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True) if isinstance(value, float) else value
