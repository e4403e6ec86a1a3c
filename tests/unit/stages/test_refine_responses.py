import pyarrow as pa
import pytest

from pipeline.api import GenResult, PoolResult, PrerequisiteError, Reject, RowError, Sample
from pipeline.prompts import load_prompt_file
from pipeline.testing import ScriptedContext, process_row, raises_row_error, scripted_engine
from stages.sampling.chain_report import wilson
from stages.sampling.refine_responses import RefineResponses, RefineResponsesConfig
from stages.sampling.refinement import Reply, parted, same_answer, why_no_answer
from tests.unit.stages.books_in_memory import BooksInMemory

PROMPT = [{"role": "user", "content": "Name a river."}]
ROW = {"id": "d", "prompt_id": "p", "prompt": PROMPT, "response": "The Elbe.", "draw": 3, "policy_logprob": -2.0}
Z = "Please improve your previous answer."


def engine_with(*replies):
    """Return an engine that gives one reply after another: text, a sample, or an error to raise."""
    engine, left = scripted_engine(), list(replies)

    async def generate(request):
        engine.generate_calls.append(request)
        reply = left.pop(0)
        if isinstance(reply, RowError):
            raise reply
        return GenResult((reply if isinstance(reply, Sample) else Sample(reply, "stop", 5),), 11)

    engine.generate = generate
    return engine


def scorer_with(values):
    """Return an engine whose reward of an answer stands in `values`."""
    engine = scripted_engine(model="judge")
    engine.asked = []

    async def pool(request):
        engine.asked.append(request)
        return PoolResult(values[request.messages[-1]["content"]], 3)

    engine.pool = pool
    return engine


def run(*replies, row=ROW, scores=None, **config):
    config = {"rounds": len(replies), "keep_if_better": "none" if scores is None else "reward"} | config
    engines = {"policy": engine_with(*replies)}
    if scores is not None:
        engines["scorer"] = scorer_with({text: (value,) for text, value in scores.items()})
    stage = RefineResponses(RefineResponsesConfig(**config))
    return process_row(stage, row, engines=engines), engines


def told(item):
    row = item.row if isinstance(item, Reject) else item
    return row["turn"], row["parent_turn"], row["response"], getattr(item, "code", "ok")


class TestReplies:
    @pytest.mark.parametrize(
        "line",
        [
            "Sure, here is the improved answer:",
            "Here's a revised version of my answer:",
            "Certainly! Here is my improved response:",
            "**Improved answer:**",
            "Here is the improved and corrected version of the text: ",
            "Of course. Below is a clearer version:",
            "Sure! Here are three rivers:",
            "# Revised response:",
        ],
    )
    def test_a_line_that_announces_the_answer_is_taken_off(self, line):
        assert parted(f"{line}\n\nThe Elbe\nis long.") == Reply("The Elbe\nis long.", line.strip())
        assert why_no_answer(line, Z) == "it announces an answer and ends"

    @pytest.mark.parametrize(
        "text",
        [
            "The rivers are:\n- Elbe\n- Rhine",
            "Ingredients:\n- flour",
            "Here is the list of rivers:\nElbe",
            "Yes: the Elbe is longer.\nMuch longer.",
            "Dear Ms Bauer:\nI write to you.",
            "Sure, here is the improved answer: The Elbe.",
            "A new version of the law:\nIt says no more.",
            "Improved answer:\n \n",
        ],
    )
    def test_a_line_of_the_answer_itself_stays(self, text):
        assert parted(text) == Reply(text, None)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("Sure! Please provide the previous answer.", "it asks for what to improve"),
            ("I don't see a previous answer in our chat.", "it asks for what to improve"),
            ("I'd be happy to improve it. What would you like me to change?", "it asks for what to improve"),
            ("The previous answer is already correct.", "it says that nothing is to be improved"),
            ("It is fine, no further changes are needed.", "it says that nothing is to be improved"),
            (f"You said: {Z} Okay.", "it repeats the request"),
        ],
    )
    def test_a_reply_about_the_request_is_no_answer(self, text, why):
        assert why_no_answer(text, Z) == why

    @pytest.mark.parametrize("text", ["The Elbe.", "Send me the draft of the plan by Friday.", "word " * 70 + Z[:-1]])
    def test_anything_else_is_taken_as_an_answer(self, text):
        assert why_no_answer(text, Z) is None

    def test_answers_are_the_same_but_for_white_space(self):
        assert same_answer("The  Elbe.\n", "The Elbe.") and not same_answer("The Elbe.", "The elbe.")


def test_each_round_refines_the_answer_before_it():
    rows, engines = run("The Elbe is long.", "The Elbe is 1,094 km long.", system="Be brief.")
    assert [told(r) for r in rows] == [
        (1, None, "The Elbe.", "ok"),
        (2, 1, "The Elbe is long.", "ok"),
        (3, 2, "The Elbe is 1,094 km long.", "ok"),
    ]
    first, second = engines["policy"].generate_calls
    system, answer = {"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "The Elbe is long."}
    request = {"role": "user", "content": rows[0]["transition"]}
    assert second.messages == (system, *PROMPT, answer, request)
    assert first.messages[-2]["content"] == "The Elbe." and "improve your previous answer" in request["content"]


def test_a_request_carries_the_options_and_a_seed_of_its_round():
    rows, engines = run("a b", "a b c", temperature=0.3, top_p=0.9, max_tokens=7)
    calls = engines["policy"].generate_calls
    assert {(c.n, c.temperature, c.top_p, c.max_tokens, c.logprobs) for c in calls} == {(1, 0.3, 0.9, 7, False)}
    context = ScriptedContext(RefineResponses(RefineResponsesConfig()))
    assert (
        [c.seed for c in calls] == [context.seed("d", 2), context.seed("d", 3)] == [r["sample_seed"] for r in rows[1:]]
    )


def test_rows_of_a_chain_belong_together_and_no_figure_of_the_draft_stands_at_a_refinement():
    (draft, refined), _ = run("The Rhine.")
    for name in ("prompt_id", "chain_id", "prompt", "draw", "transition"):
        assert draft[name] == refined[name]
    assert (draft["prompt_id"], draft["chain_id"], draft["policy_logprob"], refined["policy_logprob"]) == (
        "p",
        "d",
        -2.0,
        None,
    )
    assert (refined["response_tokens"], refined["prompt_tokens"], refined["policy_model"]) == (5, 11, "scripted")


def test_without_a_prompt_id_the_draft_is_its_own_prompt():
    rows, _ = run("The Rhine.", row={"id": "d", "prompt": PROMPT, "response": "The Elbe."})
    assert [r["prompt_id"] for r in rows] == ["d", "d"]


def test_repeats_and_refusals_are_flagged():
    rows, _ = run("The  Elbe.", "I can't help with that.", "I won't help with that.", "The Rhine.")
    flags = [(r["identical"], r["refuses"], r["refusal_flip"]) for r in rows]
    assert flags == [
        (None, False, None),
        (True, False, False),
        (False, True, True),
        (False, True, False),
        (False, False, True),
    ]


def test_an_announcement_is_taken_off_and_the_whole_reply_is_kept():
    raw = "Sure, here is the improved answer:\nThe Rhine."
    (_, refined, last), _ = run(raw, "The Danube.")
    assert (refined["response"], refined["response_raw"], last["response_raw"]) == ("The Rhine.", raw, None)


def test_a_refinement_that_was_cut_off_stays_and_ends_the_chain():
    rows, engines = run(Sample("The Elbe is", "length"), "never asked")
    assert [told(r) for r in rows[1:]] == [(2, 1, "The Elbe is", "ok"), (3, None, None, "refine.chain_ended")]
    assert rows[1]["finish_reason"] == "length" and len(engines["policy"].generate_calls) == 1


@pytest.mark.parametrize(
    ("reply", "code", "response"),
    [
        (" \n", "refine.empty", " \n"),
        (Sample("The", "content_filter"), "refine.filtered", "The"),
        ("The \udc80", "refine.bad_text", "The \ufffd"),
        ("Please share your previous answer.", "refine.no_refinement", "Please share your previous answer."),
        (RowError("engine.context_exceeded", "too long"), "engine.context_exceeded", None),
    ],
)
def test_a_turn_that_fails_is_set_aside_with_those_after_it(reply, code, response):
    rows, engines = run("The Elbe is long.", reply, "never asked")
    assert [told(r) for r in rows] == [
        (1, None, "The Elbe.", "ok"),
        (2, 1, "The Elbe is long.", "ok"),
        (3, 2, response, code),
        (4, None, None, "refine.chain_ended"),
    ]
    assert len(engines["policy"].generate_calls) == 2


@pytest.mark.parametrize("draft", [None, "", " \n"])
def test_a_draft_without_text_is_rejected(draft):
    raises_row_error("refine.no_draft", lambda: run("x", row=ROW | {"response": draft}))


def test_the_next_round_starts_from_the_better_answer():
    scores = {"The Elbe.": 1.0, "The Oder.": 0.5, "The Rhine.": 2.0, "The Main.": 2.0}
    rows, engines = run("The Oder.", "The Rhine.", "The Main.", scores=scores)
    assert [(r["turn"], r["parent_turn"], r["score"], r["kept"]) for r in rows] == [
        (1, None, 1.0, True),
        (2, 1, 0.5, False),
        (3, 1, 2.0, True),
        (4, 3, 2.0, False),
    ]
    assert engines["scorer"].asked[0].messages == (*PROMPT, {"role": "assistant", "content": "The Elbe."})


def test_the_mean_log_probability_after_the_prompt_alone_can_tell_which_is_better():
    rows, engines = run("The Rhine.", scores={}, keep_if_better="mean_logprob")
    calls = engines["scorer"].score_calls
    assert [c.messages for c in calls] == [tuple(PROMPT)] * 2
    assert [c.response for c in calls] == ["The Elbe.", "The Rhine."] and all(r["score"] < 0 for r in rows)


@pytest.mark.parametrize("bad", [(), (1.0, 2.0), (float("nan"),)])
def test_an_answer_without_one_finite_score_is_set_aside(bad):
    stage = RefineResponses(RefineResponsesConfig(rounds=2, keep_if_better="reward"))

    def rows(values):
        engines = {"policy": engine_with("The Rhine.", "The Main."), "scorer": scorer_with(values)}
        return process_row(stage, ROW, engines=engines)

    found = rows({"The Elbe.": (1.0,), "The Rhine.": bad})
    assert [told(r)[3] for r in found] == ["ok", "refine.unscored", "refine.chain_ended"]
    assert found[1].row["response"] == "The Rhine."
    raises_row_error("refine.unscored", lambda: rows({"The Elbe.": bad}))


def test_only_a_stage_that_compares_asks_for_a_scorer():
    roles = {k: dict(RefineResponses(RefineResponsesConfig(keep_if_better=k)).engine_roles) for k in ("none", "reward")}
    assert roles == {"none": {"policy": "chat"}, "reward": {"policy": "chat", "scorer": "reward"}}
    scored = RefineResponses(RefineResponsesConfig(keep_if_better="mean_logprob"))
    assert scored.engine_roles["scorer"] == "score_tokens"


def test_a_template_of_several_turns_is_refused(tmp_path):
    path = tmp_path / "transition.v1.md"
    path.write_text("---\nname: transition\nversion: 1\ninputs: []\nsource: x\n---\n<<system>>\nA\n<<user>>\nB\n")
    stage = RefineResponses(RefineResponsesConfig())
    context = ScriptedContext(stage, {"policy": engine_with()})
    context._prompts = {"transition.v1": load_prompt_file(path)}
    with pytest.raises(PrerequisiteError, match="must be one user turn"):
        stage.process_row(ROW, context).send(None)


def tables(rows, **config):
    stage = RefineResponses(RefineResponsesConfig(**config))
    kept = [r for r in rows if not isinstance(r, Reject)]
    schema = pa.schema([f for f in stage.outputs])
    return stage.report(BooksInMemory(1, pa.Table.from_pylist(kept, schema=schema)))


def test_refinements_are_counted_by_turn():
    rows, _ = run("The Elbe.", "I can't help with that.", "The Rhine.", Sample("The Rhine is", "length"))
    (table,) = tables(rows)
    assert table.rows == (
        (2, 1, 1.0, 0.0, 0.0, 0.0, 0.0),
        (3, 1, 0.0, 14.0, 1.0, 0.0, 0.0),
        (4, 1, 0.0, -13.0, 0.0, 1.0, 0.0),
        (5, 1, 0.0, 2.0, 0.0, 0.0, 1.0),
    )


def test_wins_and_chains_whose_draft_was_best_are_counted():
    scores = {"The Elbe.": 1.0, "The Oder.": 0.5, "The Rhine.": 0.7}
    worse, _ = run("The Oder.", "The Rhine.", scores=scores)
    better, _ = run("The Oder.", "The Rhine.", scores=scores | {"The Oder.": 2.0}, row=ROW | {"id": "e"})
    by_turn, chains = tables(worse + better, keep_if_better="reward")
    assert [row[7:] for row in by_turn.rows] == [(0.5, 0.0945, 0.9055, 0.5), (0.5, 0.0945, 0.9055, 0.0)]
    assert chains.rows == ((2, 1, 0.5),)


def test_a_report_of_nothing_has_no_rows():
    by_turn, chains = tables([], keep_if_better="reward")
    assert by_turn.rows == () and chains.rows == ((0, 0, None),)


def test_wilson_interval_by_hand():
    low, high = wilson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433) and wilson(0, 0) is None
    assert wilson(0, 5)[0] == 0.0 and wilson(5, 5)[1] == 1.0
