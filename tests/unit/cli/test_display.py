"""What a run shows while it goes: a table on a terminal, lines in a log; both drawn from counters."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.cli.doctor import examine
from pipeline.cli.live import LiveDisplay
from pipeline.cli.options import clip, print_table
from pipeline.run.control import Progress
from pipeline.run.report import LineDisplay, duration


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def progress(**stages):
    made = Progress()
    for stage_id, counters in stages.items():
        for name, value in counters.items():
            setattr(made.of(stage_id), name, value)
    return made


def drawn(clock, *states):
    out = io.StringIO()
    with LiveDisplay(clock, Console(file=out, width=120, force_terminal=True, color_system=None)) as display:
        for state, seconds in states:
            clock.now += seconds
            display(state)
    return out.getvalue()


def test_the_table_shows_rows_rate_time_left_and_rejects():
    first = progress(responses={"total": 100, "done": 0})
    later = progress(responses={"total": 100, "done": 20, "rejected": 3})
    text = drawn(Clock(), (first, 0), (later, 10))
    assert "responses" in text and "20/100" in text and "2.0" in text and "40 s" in text


def test_a_stage_of_unknown_size_and_a_finished_one_are_drawn():
    text = drawn(
        Clock(), (progress(a={"done": 7}, b={"total": 5, "done": 5, "finished": True}, c={"finished": True}), 0)
    )
    assert "7" in text and "5/5" in text and "rows/s" in text


def test_the_display_writes_to_standard_error_by_default():
    assert LiveDisplay(Clock())._live.console.stderr


def lines(every=10.0):
    out, clock = [], Clock()
    return out, clock, LineDisplay(out.append, clock, every)


def test_a_line_is_printed_when_it_is_time_and_rows_have_moved():
    out, clock, display = lines()
    display(progress(a={"total": 100, "done": 10}))
    clock.now += 10
    display(progress(a={"total": 100, "done": 30, "rejected": 2, "replayed": 5}))
    display(progress(a={"total": 100, "done": 31}))
    clock.now += 10
    display(progress(a={"total": 100, "done": 30, "rejected": 2}))
    assert out == ["      a: 30 of 100 rows, 2.0 rows/s, 35 s left, 5 answers from the journal, 2 rejected"]


def test_a_finished_stage_is_told_once_and_at_once():
    out, _, display = lines()
    for _ in range(2):
        display(progress(a={"total": 3, "done": 3, "reused": 2, "finished": True}))
    assert out == ["done  a: 3 of 3 rows, 2 from before"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_tables_align_numbers_to_the_right(capsys):
    print_table(["stage", "rows"], [["a", "1,000"], ["longer", "7"], ["b", "-"]])
    assert capsys.readouterr().out == "stage   rows\na       1,000\nlonger      7\nb       -\n"


def test_long_text_is_cut_on_one_line():
    assert clip("a\n b  c", 10) == "a b c" and clip("x" * 20, 10) == "xxxxxxx..."


def test_doctor_begins_with_version_and_machine():
    first, *rest = examine()
    assert first.startswith("prefmill 0.1.0, Python 3.") and any("extra 'local'" in line for line in rest)
