"""The data card: it says what the records say, and text from rows and recipes stays inert."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.publish.cards import code, fenced, paragraphs, plain, turns
from pipeline.publish.export import export_run
from pipeline.publish.front_matter import size_category

HOSTILE = [
    "---\nlicense: mit\n---\n",
    "```\n</div><script>alert(1)</script>\n```",
    "````\n# A heading\n~~~~\n![x](http://evil.example/b.png)",
    "{{ 7 * 7 }} {% raw %} <details open>",
    "`````````text\nlicense: mit",
    "| a | b |\n<!-- hidden",
]


def card_of(builder: Any, tmp_path: Any) -> str:
    export_run(builder.write(), tmp_path / "out")
    return str((tmp_path / "out/README.md").read_text(encoding="utf-8"))


def front(card: str) -> dict[str, Any]:
    """Read the front matter as the Hub does: up to the first line of three dashes."""
    found = re.match(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|$))", card)
    assert found
    value: dict[str, Any] = YAML(typ="safe", pure=True).load(found[2])
    return value


def outside_fences(card: str) -> str:
    """Return the lines that a CommonMark reader takes as Markdown."""
    kept: list[str] = []
    fence = ""
    for line in card.splitlines():
        ticks = re.match(r"`{3,}", line)
        if fence:
            fence = "" if re.fullmatch(rf"`{{{len(fence)},}}\s*", line) else fence
        elif ticks:
            fence = ticks[0]
        else:
            kept.append(line)
    assert not fence, "a fence was left open"
    return "\n".join(kept)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_comment(self, data: str) -> None:
        self.seen.append("comment")


def tags_of(markdown: str) -> list[str]:
    parser = Tags()
    parser.feed(re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown))
    return parser.seen


@pytest.mark.parametrize("text", HOSTILE)
def test_row_text_stays_inside_its_fence(builder, pair, tmp_path, text):
    prompt = [{"role": "system", "content": text}, {"role": "user", "content": text}]
    builder.replace_pairs([pair(0, prompt=prompt, chosen=f"{text}a", rejected=f"{text}b")])
    card = card_of(builder, tmp_path)
    assert "license" not in front(card)
    markdown = outside_fences(card.split("\n---\n", 1)[1])
    assert tags_of(markdown) == []
    for word in ("evil.example", "A heading", "7 * 7", "49", "license: mit"):
        assert word not in markdown
    assert text.strip() in card


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_recipe_and_documents_stays_inert(builder, tmp_path, text):
    builder.run["dataset"] |= {"pretty_name": text, "description": text, "notes": [text], "tags": [text]}
    builder.run["recipe"] = f"recipe: 1\n# {text}\n{text}"
    builder.documents["responses"]["config"] = {"system": text}
    builder.documents["responses"]["engines"] = {"policy": {"kind": "openai", "model": text, "revision": text}}
    card = card_of(builder, tmp_path)
    meta = front(card)
    assert "license" not in meta and text in meta["tags"] and meta["pretty_name"] == " ".join(text.split())
    markdown = outside_fences(card.split("\n---\n", 1)[1])
    assert tags_of(markdown) == [] and "\n# A heading" not in markdown
    assert not re.search(r"(?<!\\)!?\[x\]\(", re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown))


def test_front_matter_says_what_the_hub_needs(builder, tmp_path):
    builder.run["dataset"] |= {"license": "apache-2.0", "pretty_name": "Demo: pairs", "tags": ["mine", "dpo"]}
    meta = front(card_of(builder, tmp_path))
    assert (meta["license"], meta["pretty_name"], meta["language"]) == ("apache-2.0", "Demo: pairs", ["en"])
    assert meta["size_categories"] == ["n<1K"] and meta["annotations_creators"] == ["machine-generated"]
    assert meta["task_categories"] == ["text-generation", "reinforcement-learning"]
    assert {"synthetic", "preference", "dpo", "prefmill", "mine"} <= set(meta["tags"])
    assert len(meta["tags"]) == len(set(meta["tags"]))


def test_front_matter_has_configs_and_counts_of_each_split(builder, tmp_path):
    meta = front(card_of(builder, tmp_path))
    pairs, candidates = meta["configs"]
    assert pairs["config_name"] == "pairs" and pairs["default"] is True and "default" not in candidates
    assert pairs["data_files"] == [{"split": s, "path": f"data/{s}-*.parquet"} for s in ("train", "test")]
    infos = {i["config_name"]: i for i in meta["dataset_info"]}
    assert [s["num_examples"] for s in infos["pairs"]["splits"]] == [9, 3]
    assert infos["candidates"]["splits"][0]["num_examples"] == 24
    assert all(s["num_bytes"] > 0 for i in infos.values() for s in i["splits"])
    sizes = sum(p.stat().st_size for p in (tmp_path / "out/data").iterdir())
    assert infos["pairs"]["download_size"] == sizes


def test_a_missing_licence_is_said(builder, tmp_path):
    assert "No licence was stated in the recipe" in card_of(builder, tmp_path)


def test_a_stated_licence_is_not_called_missing(builder, tmp_path):
    builder.run["dataset"]["license"] = "cc-by-4.0"
    assert "No licence" not in card_of(builder, tmp_path)


def test_a_rounded_copy_is_called_a_stand_in(builder, tmp_path):
    card = card_of(builder, tmp_path)
    assert "rounded to 3 bits in groups of 32.** This is a stand-in for CDR's" in card
    assert "a rounded copy is worse on nearly every token" in card and ".636" in card


def test_two_different_models_are_not_called_a_stand_in(builder, tmp_path):
    builder.documents["weak_lp"]["engines"]["scorer"] = {"kind": "openai", "model": "weak", "revision": None}
    builder.documents["reward"]["config"]["normalize"] = "sum"
    card = card_of(builder, tmp_path)
    assert "stand-in" not in card and "It grows with length wherever" in card


def test_the_plain_sum_with_a_rounded_copy_is_warned_of(builder, tmp_path):
    builder.documents["reward"]["config"]["normalize"] = "sum"
    assert "so this sum rewards length" in card_of(builder, tmp_path)


@pytest.mark.parametrize(("normalize", "text"), [("per_byte", "length in bytes"), ("per_strong_token", "Both sums")])
def test_each_normalisation_is_explained(builder, tmp_path, normalize, text):
    builder.documents["reward"]["config"]["normalize"] = normalize
    assert text in card_of(builder, tmp_path)


def test_the_same_model_on_both_sides_is_said(builder, tmp_path):
    builder.documents["weak_lp"]["engines"] = builder.documents["strong_lp"]["engines"]
    card = card_of(builder, tmp_path)
    assert "Strong and weak are the same model after the same prompt" in card and "prompts differ" not in card


def test_one_model_after_two_prompts_is_no_ratio_with_itself(builder, tmp_path):
    builder.documents["weak_lp"]["engines"] = builder.documents["strong_lp"]["engines"]
    builder.documents["strong_lp"]["config"]["prompt_column"] = "conditioned_prompt"
    card = card_of(builder, tmp_path)
    assert "one model after two different prompts" in card and "numerical noise" not in card
    assert "after the column `conditioned_prompt`, the weak side after `prompt`" in card


def test_two_models_after_two_prompts_or_after_another_than_the_policys_are_said(builder, tmp_path):
    builder.documents["strong_lp"]["config"]["prompt_column"] = "conditioned_prompt"
    assert "stand-in" in (card := card_of(builder, tmp_path)) and "the prompts differ" in card


def test_both_sides_after_one_other_prompt_are_said(builder, tmp_path):
    for side in ("strong_lp", "weak_lp"):
        builder.documents[side]["config"]["prompt_column"] = "conditioned_prompt"
    card = card_of(builder, tmp_path)
    assert "Both sides were scored after the column `conditioned_prompt` in place of `prompt`" in card


def test_a_prompt_made_anew_between_the_two_passes_is_another_prompt(builder, tmp_path):
    weak = builder.documents["weak_lp"]
    schema, shards, _ = builder.shards["weak_lp"]
    weak["engines"] = builder.documents["strong_lp"]["engines"]
    for side in ("strong_lp", "weak_lp"):
        builder.documents[side]["config"]["prompt_column"] = "conditioned_prompt"
    builder.add("again", "condition_prompts", schema, shards, upstream_stage="strong_lp")
    weak["from"] = weak["upstream"] = "again"
    order = ["prompts", "responses", "strong_lp", "again", "weak_lp", "reward", "pairs"]
    builder.documents = {name: builder.documents[name] for name in order}
    card = card_of(builder, tmp_path)
    assert "one model after two different prompts" in card and "made anew in between: the prompts differ" in card


def test_columns_that_no_scorer_of_the_run_filled_are_said(builder, tmp_path):
    builder.documents["reward"]["config"]["denominator"] = "given"
    assert "do not say which models filled these columns" in card_of(builder, tmp_path)


def test_a_scripted_engine_is_called_no_model(builder, tmp_path):
    builder.documents["responses"]["engines"]["policy"] = {"kind": "scripted", "model": "s", "revision": None}
    card = card_of(builder, tmp_path)
    assert "**Not made by a model.** A scripted engine" in card and "`scripted` (not a model)" in card


def test_counts_of_every_stage_and_reject_code_are_in_the_card(builder, tmp_path):
    card = card_of(builder, tmp_path)
    assert "| `responses` | 24 | 24 | 0 |" in card
    assert "| `pairs` | 13 | 12 | 1 | `pairs.tie` 1 |" in card


def test_scores_and_lengths_are_hand_checked(builder, pair, tmp_path):
    rows = [pair(i, margin=m, score_chosen=m, chosen="é" * n) for i, (m, n) in enumerate([(1, 4), (2, 8), (6, 30)])]
    builder.replace_pairs(rows)
    card = card_of(builder, tmp_path)
    assert "| `margin` | 1 | 1.5 | 2 | 4 | 6 | 3 |" in card
    assert "| characters of `chosen` | 4 | 6 | 8 | 19 | 30 | 14 |" in card
    assert "longer one in 33.3% of the pairs, the rejected one in 33.3%" in card
    assert "The median difference, chosen minus rejected, is 0 characters" in card


def test_options_models_and_templates_are_in_the_card(builder, tmp_path):
    card = card_of(builder, tmp_path)
    assert '| 2 | `responses` | `sample_responses` version 1 | `prompts` | `{"n": 2}` |' in card
    assert "| `responses` | `policy` | `transformers` | `package:tiny/model.gguf` | `abc` | `bfloat16` |" in card
    assert "| `responses` | `a.v1` | `d1` |" in card


@pytest.mark.parametrize(("limit", "command"), [(None, "recipe.yaml"), (20, "recipe.yaml --limit 20")])
def test_the_command_that_makes_it_again_has_the_limit(builder, tmp_path, limit, command):
    builder.documents["prompts"]["limit"] = limit
    assert f"```bash\nprefmill run {command}\nprefmill export demo --to DIR\n```" in card_of(builder, tmp_path)


def test_methods_are_cited_only_where_used(builder, tmp_path):
    builder.documents["prompts"]["stage"] = "synthesize_skillmix"
    builder.documents["reward"]["stage"] = "other"
    card = card_of(builder, tmp_path)
    assert "2408.14774" in card and "2411.02481" not in card


def test_pairs_without_scores_and_models_still_make_a_card(builder, tmp_path):
    schema, rows, _ = builder.shards["pairs"]
    for name in ("score_chosen", "score_rejected", "margin"):
        schema = schema.remove(schema.get_field_index(name))
    builder.documents.clear()
    builder.shards.clear()
    builder.add(
        "given",
        "load_pairs",
        schema,
        [[{n: r[n] for n in schema.names} for r in shard] for shard in rows],
        package="theirs==1.0",
        source={"dataset": "x"},
    )
    card = card_of(builder, tmp_path)
    assert "`margin`" not in card and "None was asked." in card and "`theirs==1.0`" in card


def test_a_long_text_is_cut_in_the_sample(builder, pair, tmp_path):
    builder.replace_pairs([pair(0, chosen="x" * 5000)])
    assert f"{'x' * 2000} [cut here; 5,000 characters in all]\n```" in card_of(builder, tmp_path)


def test_a_fence_is_longer_than_any_run_of_backticks():
    assert fenced("a ```` b") == "`````text\na ```` b\n`````"


def test_a_code_span_holds_backticks_pipes_and_line_breaks():
    assert code("a|b\n`c`") == "`` a\\|b `c` ``"
    assert code("") == "`  `"


def test_plain_text_has_no_markup_left():
    assert plain("# <b>*x*</b>\n[a](b)") == r"\# &lt;b\>\*x\*&lt;/b\> \[a\](b)"
    assert plain("--- x") == r"\--- x"
    assert paragraphs("a\nb\n\n\n# c") == "a b\n\n\\# c"


def test_several_turns_are_shown_with_their_roles():
    assert turns([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]) == "[system]\ns\n\n[user]\nu"


def test_sizes_are_named_as_the_hub_does():
    assert [size_category(n) for n in (0, 999, 1000, 10**6, 10**10)] == [
        "n<1K", "n<1K", "1K<n<10K", "1M<n<10M", "1B<n<10B",
    ]  # fmt: skip
