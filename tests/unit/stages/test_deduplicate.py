import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.api import EMBED, Reject
from pipeline.testing import process_row, process_table, raises_row_error, scripted_engine
from stages.selection.deduplicate import Deduplicate, DeduplicateConfig
from stages.selection.embed_texts import EmbedTexts, EmbedTextsConfig
from stages.selection.minhash import BandKeys, choose_bands
from stages.selection.near_vectors import near_vectors, unit_vectors
from stages.selection.shingles import ShingleHasher, Shingling, jaccard, shingle_set
from stages.selection.words import fold

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
SCORED = pa.schema([("id", pa.string()), ("score", pa.float64())])

GOLDEN_KEYS = [[16995701197534270779, 1180172399218097721], [837452150886602513, 13517682471953582374]]


def run(texts, scores=None, **config):
    rows = [{"id": str(i), "text": t} | ({"score": scores[i]} if scores else {}) for i, t in enumerate(texts)]
    return process_table(Deduplicate(DeduplicateConfig(column="text", **config)), rows, SCORED if scores else None)


def kept(result):
    return [int(i) for i in result.table.column("id").to_pylist()]


def dropped(result):
    return {int(r.row["id"]): (r.code, r.row.get("duplicate_of"), r.row.get("similarity")) for r in result.rejects}


def conversation(*turns):
    return [{"role": r, "content": c} for r, c in turns]


def test_equal_but_for_case_width_and_white_space_is_exact():
    result = run(["Name a  river.", "name a river.", "\uff2eame a river.", "name a river"], method="exact")
    assert kept(result) == [0, 3]
    assert dropped(result) == {i: ("deduplicate.exact", "0", 1.0) for i in (1, 2)}


def test_a_near_copy_is_dropped_with_its_similarity_as_evidence():
    result = run([LONG, LONG + " sixteen", "something else"])
    assert kept(result) == [0, 2]
    assert dropped(result) == {1: ("deduplicate.near", "0", 14 / 15)}


def test_null_and_blank_texts_are_rejected():
    result = run([None, " \n", "a"])
    assert kept(result) == [2] and dropped(result) == {i: ("deduplicate.no_text", None, None) for i in (0, 1)}


def test_one_word_less_or_more_makes_a_short_prompt_another_one():
    assert kept(run(["What is 3+5?", "What is 3*5?", "what is 3 + 5", "Write a poem about the sea"])) == [0, 1, 3]


def test_the_shortest_prompts_are_compared_by_characters():
    assert kept(run(["Hello", "hello!!", "Help", "???", "????"])) == [0, 2, 3, 4]
    assert shingle_set("hello", Shingling("word", 2)) == {"hello"}
    assert shingle_set("refactoring", Shingling("word", 2)) >= {"refac", "oring"}


def test_a_row_is_not_dropped_for_one_that_was_dropped_itself():
    words = LONG.split()
    chain = [" ".join(words + [f"w{j}" for j in range(i)]) for i in range(0, 9, 2)]
    result = run(chain)
    assert kept(result) == [0, 2, 4] and dropped(result)[1][1] == "0" and dropped(result)[3][1] == "2"


def test_an_exact_copy_of_a_near_copy_names_the_kept_row():
    result = run([LONG, LONG + " sixteen", LONG + " Sixteen"])
    assert dropped(result)[2] == ("deduplicate.near", "0", 14 / 15)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 0), ({"keep": "longest"}, 1), ({"keep": "best", "score": "score"}, 2)],
)
def test_which_of_several_is_kept(options, expected):
    texts = [LONG, LONG + " sixteen", LONG.upper()]
    result = run(texts, scores=[None, 1.0, 2.0], **options)
    assert kept(result) == [expected] and {d[1] for d in dropped(result).values()} == {str(expected)}


def test_of_a_conversation_all_user_turns_count():
    turns = [conversation(("user", "Why?"), ("assistant", "So."), ("user", "Go on.")), conversation(("user", "Go on."))]
    rows = [{"id": str(i), "prompt": p} for i, p in enumerate([*turns, turns[1]])]
    result = process_table(Deduplicate(DeduplicateConfig()), rows)
    assert kept(result) == [0, 1] and dropped(result)[2][:2] == ("deduplicate.exact", "1")


def brute_force(texts, how, threshold):
    sets, keep = [shingle_set(fold(t), how) for t in texts], []
    for i in range(len(texts)):
        if all(jaccard(sets[i], sets[j]) < threshold for j in keep):
            keep.append(i)
    return keep


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([1, 2, 3]), threshold=st.sampled_from([0.7, 0.85, 1.0]))
def test_minhash_keeps_what_comparing_all_pairs_keeps(seed, size, threshold):
    source = random.Random(seed)
    base = [f"w{k}" for k in range(12)]
    texts = []
    for _ in range(120):
        words = base[: source.randint(1, 12)]
        for _ in range(source.randint(0, 2)):
            words[source.randrange(len(words))] = f"w{source.randrange(40)}"
        texts.append(" ".join(words))
    result = run(texts, shingle_size=size, threshold=threshold, permutations=512)
    assert kept(result) == brute_force(texts, Shingling("word", size), threshold)


def test_a_thousand_prompts_of_one_template_are_told_apart():
    texts = [f"Write a short and funny poem about topic{i % 990}" for i in range(1000)]
    assert kept(run(texts)) == list(range(990))


def test_recall_of_planted_copies_and_no_false_merge():
    source = random.Random(3)
    originals = [" ".join(f"w{source.randrange(5000)}" for _ in range(source.randint(10, 30))) for _ in range(2000)]
    copies = [" ".join(t.split()[:-1]) for t in originals]
    how = Shingling("word", 2)
    alike = [i for i, (a, b) in enumerate(zip(originals, copies, strict=True)) if _similarity(a, b, how) >= 0.85]
    result = run(originals + copies)
    assert {int(i) - 2000 for i in dropped(result)} == set(alike) and len(alike) > 1900


def _similarity(a, b, how):
    return jaccard(shingle_set(a, how), shingle_set(b, how))


@pytest.mark.parametrize("how", [Shingling("word", 2), Shingling("word", 5), Shingling("character", 5)], ids=str)
def test_hashed_shingles_are_those_of_the_text(how):
    texts = [fold(t) for t in (LONG, "a", "ab cd", "", "3+5=8", "\u5199\u4e00\u9996\u8bd7", "a b a b a b", "?!")]
    hashes, counts = ShingleHasher(how)(texts)
    parts = np.split(hashes, np.cumsum(counts)[:-1])
    assert [len(set(p.tolist())) for p in parts] == [len(shingle_set(t, how)) for t in texts]
    assert [set(p.tolist()) for p in parts] == [set(ShingleHasher(how)([t])[0].tolist()) for t in texts]


def test_bands_find_all_but_one_in_a_thousand_at_the_threshold():
    assert choose_bands(0.85, 128) == (18, 7)
    for threshold in (0.5, 0.7, 0.85, 0.95, 1.0):
        bands, rows = choose_bands(threshold, 128)
        assert bands * rows <= 128 and 1 - (1 - threshold**rows) ** bands >= 0.999


def test_band_keys_are_golden():
    hashes, counts = ShingleHasher(Shingling("word", 2))(["name a river", ""])
    keys = BandKeys(2, 3)(hashes, counts)
    assert keys.tolist() == GOLDEN_KEYS


def test_vectors_close_to_a_kept_one_are_dropped():
    angles = np.deg2rad([0.0, 10.0, 30.0, 35.0, 90.0])
    vectors = unit_vectors(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 7)
    found = {d.row: (d.of, round(d.similarity, 4)) for d in near_vectors(vectors, 0.97)}
    assert found == {1: (0, 0.9848), 3: (2, 0.9962)}


def test_vectors_are_compared_across_blocks():
    source = np.random.default_rng(0)
    vectors = unit_vectors(source.normal(size=(2500, 8)))
    copies = np.concatenate((vectors, vectors[::-1]))
    found = {d.row: d.of for d in near_vectors(copies, 0.9999)}
    assert found == {2500 + i: 2499 - i for i in range(2500)}


def test_embeddings_drop_rows_alike_and_refuse_unusable_vectors():
    vectors = [[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], None, [0.0, 0.0], [float("nan"), 1.0], [1.0], []]
    rows = [{"id": str(i), "text": f"t{i}", "embedding": v} for i, v in enumerate(vectors)]
    stage = Deduplicate(DeduplicateConfig(column="text", method="embedding", threshold=0.9))
    result = process_table(stage, rows)
    assert kept(result) == [0, 2]
    assert Counter(r.code for r in result.rejects) == {"deduplicate.near": 1, "deduplicate.no_vector": 5}


@pytest.mark.parametrize("method", ["exact", "minhash", "embedding"])
def test_no_rows_give_no_rows(method):
    result = process_table(Deduplicate(DeduplicateConfig(method=method)), [])
    assert result.table.num_rows == 0 and not result.rejects


@pytest.mark.parametrize("config", [{"keep": "best"}, {"score": "reward"}, {"threshold": 0.1}, {"threshold": 0}])
def test_options_that_contradict_each_other_are_refused(config):
    with pytest.raises(ValidationError):
        DeduplicateConfig(**config)


class Books:
    """What is committed of a deduplication."""

    def __init__(self, result, rows_in):
        self.rows_in, self.rows_out, self._result = rows_in, result.table.num_rows, result
        self.rejects = Counter(r.code for r in result.rejects)

    def rows(self, columns):
        return iter(self._result.table.select(list(columns)).to_batches())

    def rejected(self):
        return iter(self._result.rejects)


def test_the_report_shows_counts_and_the_largest_groups():
    result = run(["Alpha  beta", "alpha beta", "ALPHA beta", "x", "X", "y", None])
    stage = Deduplicate(DeduplicateConfig(column="text"))
    counts, groups = stage.report(Books(result, 7))
    assert dict(counts.rows) == {
        "rows in": 7,
        "rows kept": 3,
        "deduplicate.exact": 3,
        "deduplicate.no_text": 1,
    }
    assert groups.rows == (("0", "Alpha beta", 2, "1, 2"), ("3", "x", 1, "4"))


def test_the_report_of_a_run_without_duplicates_has_no_groups():
    assert len(Deduplicate(DeduplicateConfig(column="text")).report(Books(run(["a", "b"]), 2))) == 1


def embed(text, **engine):
    stage = EmbedTexts(EmbedTextsConfig(column="text"))
    return process_row(stage, {"id": "a", "text": text}, engines={"embedder": engine.get("engine", scripted_engine())})


def test_embed_texts_adds_the_vector_and_the_model():
    (row,) = embed("a river")
    assert not isinstance(row, Reject) and len(row["embedding"]) == 64 and row["embedding_model"] == "scripted"
    assert row["embedding"] == embed("A  RIVER")[0]["embedding"] != embed("a lake")[0]["embedding"]
    assert EmbedTexts(EmbedTextsConfig()).engine_roles == {"embedder": EMBED}


def test_embed_texts_refuses_a_row_without_text():
    raises_row_error("embedding.no_text", lambda: embed(" "))
    raises_row_error("embedding.no_text", lambda: embed(None))


class Broken(type(scripted_engine())):
    """Gives a vector that is not finite."""

    async def pool(self, request):
        result = await super().pool(request)
        return type(result)((float("inf"), *result.values), result.tokens, result.model)


def test_embed_texts_refuses_a_vector_that_is_not_finite():
    raises_row_error("embedding.nonfinite", lambda: embed("a", engine=Broken(scripted_engine().config)))


def test_words_that_are_forgotten_hash_as_before():
    how, texts = Shingling("word", 2), [["one two three"], ["three two one"], ["one two three"]]
    forgetful, plain = ShingleHasher(how, words_kept=2), ShingleHasher(how)
    for text in texts:
        assert forgetful(text)[0].tolist() == plain(text)[0].tolist()


def test_too_few_permutations_for_the_recall_give_the_shortest_bands():
    assert choose_bands(0.05, 16) == (16, 1)


def test_a_crowd_of_long_copies_leaves_the_first():
    words = [f"word{i}" for i in range(60)]
    texts = [" ".join([*words, f"ending{i}"]) for i in range(80)]
    assert kept(run(texts)) == kept(run(texts))[:1]
