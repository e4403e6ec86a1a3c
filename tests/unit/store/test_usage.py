from pipeline.store.commits import CommitRecord, commit, read_record
from pipeline.store.usage import Usage, total, usage_of
from pipeline.types import GenResult, PoolResult, Sample, ScoreResult


def test_a_generation_counts_tokens_read_once_and_made_over_all_samples():
    result = GenResult((Sample("a", "stop", tokens=3), Sample("b", "stop", tokens=4)), prompt_tokens=10)
    assert usage_of(result) == Usage(1, 10, 7)


def test_tokens_that_are_scored_or_pooled_count_as_read():
    assert usage_of(ScoreResult(-1.0, 5, 20)) == Usage(1, 25)
    assert usage_of(PoolResult((0.5,), 9)) == Usage(1, 9)


def test_an_engine_that_does_not_tell_its_tokens_is_not_taken_for_free():
    assert usage_of(GenResult((Sample("a", "stop", tokens=None),), prompt_tokens=10)) == Usage(1, untold=1)
    assert usage_of(GenResult((Sample("a", "stop", tokens=3),), prompt_tokens=None)) == Usage(1, untold=1)


def test_a_refused_request_counts_as_a_request():
    assert total([usage_of(None), Usage(2, 5, 6)]) == Usage(3, 5, 6)


def test_a_commit_record_keeps_what_its_shard_cost(tmp_path):
    record = CommitRecord(0, 0, "f" * 64, "empty", 1, 1, 0, 0, 0, None, None, usage=Usage(2, 30, 4))
    commit(tmp_path, record)
    assert read_record(tmp_path / "part-00000.json").usage == Usage(2, 30, 4)


def test_a_record_of_a_stage_without_engines_says_nothing_about_cost(tmp_path):
    commit(tmp_path, CommitRecord(0, 0, "f" * 64, "empty", 1, 1, 0, 0, 0, None, None))
    assert b"usage" not in (tmp_path / "part-00000.json").read_bytes()
    assert read_record(tmp_path / "part-00000.json").usage is None
