"""Options, flags and counters of the managed server; nothing is started."""

from __future__ import annotations

import socket

import pytest
from pydantic import ValidationError

from pipeline.engines.vllm.server import VllmServerEngine
from pipeline.engines.vllm.server_config import VllmServerConfig
from pipeline.engines.vllm.server_flags import flags
from pipeline.engines.vllm.server_probe import read_counters
from pipeline.engines.vllm.server_process import reserve_port
from pipeline.errors import PrerequisiteError

COMMIT = "a" * 40


def engine(**options):
    return VllmServerEngine(VllmServerConfig(model="owner/name", revision=COMMIT, base_url_env="NOT_SET", **options))


def test_arguments_become_flags_in_the_forms_of_the_parser():
    given = {"model": "a b", "enforce_eager": True, "enable_prefix_caching": False, "quantization": None}
    given |= {"speculative_config": {"method": "ngram"}, "cudagraph_sizes": [1, 2], "max_num_seqs": 8}
    assert flags(given) == [
        "--model=a b",
        "--enforce-eager",
        "--no-enable-prefix-caching",
        '--speculative-config={"method": "ngram"}',
        "--cudagraph-sizes",
        "1",
        "2",
        "--max-num-seqs=8",
    ]
    assert flags({"disable_log_stats": False}) == []


def test_identity_has_the_scoring_and_no_address_or_limit():
    one, same, other = (
        engine(),
        engine(base_url="http://127.0.0.1:1/v1", timeout_s=1, served_name="x"),
        engine(scoring={"method": "echo"}),
    )
    assert one.identity() == same.identity() != other.identity()
    assert one.identity()["kind"] == "vllm_server"
    assert one.identity()["scoring"]["method"] == "prompt_logprobs"


def test_a_recipe_may_name_servers_of_this_machine_only():
    with pytest.raises(ValidationError, match="only this machine"):
        engine(base_url="https://example.com/v1")
    with pytest.raises(ValidationError, match="password; leave it out") as error:
        engine(base_url="https://user:hunter2@example.com/v1")
    assert "hunter2" not in str(error.value)


def test_what_the_server_cannot_do_is_not_offered():
    assert engine().capabilities() == {"chat", "score_tokens", "json_schema"}
    with pytest.raises(ValidationError, match="task"):
        engine(task="embed")


def test_a_refused_address_from_the_environment_is_found_when_checking(monkeypatch):
    monkeypatch.setenv("PREFMILL_VLLM_URL", "http://example.com/v1")
    asking = VllmServerEngine(VllmServerConfig(model="owner/name", revision=COMMIT))
    with pytest.raises(PrerequisiteError, match="PREFMILL_VLLM_URL"):
        asking.check()


def test_without_an_address_the_checks_of_the_vllm_engine_apply():
    with pytest.raises(PrerequisiteError):
        engine(engine_args={"blok_size": 3}).check()


def test_counters_are_summed_over_engines_and_others_left_out():
    page = (
        "# TYPE vllm:prompt_tokens_total counter\n"
        'vllm:prompt_tokens_total{engine="0",model_name="m"} 1.5e+03\n'
        'vllm:prompt_tokens_total{engine="1",model_name="m"} 20.0\n'
        'vllm:prompt_tokens_created{engine="0"} 1.7e+09\n'
        "vllm:spec_decode_num_drafts_total 7.0\n"
    )
    assert read_counters(page) == {"prompt_tokens": 1520, "drafts": 7}


def test_a_reserved_port_keeps_others_off_but_lets_a_server_listen():
    with reserve_port() as kept, socket.socket() as other, socket.socket() as server:
        address = kept.getsockname()
        with pytest.raises(OSError, match="in use"):
            other.bind(address)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()
        socket.create_connection(address).close()
