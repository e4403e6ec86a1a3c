import json
from pathlib import Path

import pytest

from pipeline.api import PrerequisiteError, Prompt, shipped_banks, shipped_prompts
from pipeline.testing import process_table
from stages.selection.decontaminate import Decontaminate, DecontaminateConfig
from stages.sources.load_prompt_templates import (
    LoadPromptTemplates,
    LoadPromptTemplatesConfig,
    bank_rows,
    template_rows,
)
from tests.support import prefmill

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "data"
RECIPE = ROOT / "recipes" / "checks" / "prompt_templates.yaml"
HEADER = "---\nname: a\nversion: 1\ninputs: [topic]\nsource: ours\n---\n"
EXEMPLAR = "A farmer has seventeen sheep and all but nine of them run away during the storm. How many are left?"
REAL = {
    "llmbar/natural.json": ["input", "output_1", "output_2"],
    "llmbar/faireval.json": ["input", "output_1", "output_2"],
    "methods_annotation/magpie_5prompts_5responses_armorm.jsonl": ["instruction"],
    "methods_annotation/skillmix_sda_k2_sample100.jsonl": ["instruction", "output"],
    "ugc_reddit_dev.parquet": ["text"],
}


def rows_of(**config):
    stage = LoadPromptTemplates(LoadPromptTemplatesConfig(**config))
    return [row for part in stage.partitions() for batch in stage.read(part) for row in batch.to_pylist()]


def test_each_turn_is_a_row_followed_by_its_paragraphs():
    prompt = Prompt(f"{HEADER}<<system>>\nBe brief.\n<<user>>\nOne {{{{ topic }}}}.\n \nTwo.\n", "a.md")
    rows = template_rows("s/a.v1", prompt, paragraphs=True)
    places = [(r["role"], r["turn"], r["paragraph"], r["text"]) for r in rows]
    assert places == [
        ("system", 0, 0, "Be brief."),
        ("user", 1, 0, "One {{ topic }}.\n \nTwo."),
        ("user", 1, 1, "One {{ topic }}."),
        ("user", 1, 2, "Two."),
    ]
    assert [r["paragraph"] for r in template_rows("s/a.v1", prompt, paragraphs=False)] == [0, 0]
    assert rows[0]["prompt"] == [{"role": "user", "content": "Be brief."}]


def test_every_shipped_template_is_there():
    rows = rows_of()
    assert {r["template"] for r in rows} == {*shipped_prompts(), *shipped_banks()} and all(r["text"] for r in rows)
    digest = LoadPromptTemplates(LoadPromptTemplatesConfig()).digest()
    assert set(digest) == {*shipped_prompts(), *shipped_banks()} and all(len(d) == 64 for d in digest.values())
    assert digest.items() >= {name: p.digest for name, p in shipped_prompts().items()}.items()


def test_each_record_of_a_bank_is_a_row_followed_by_its_texts():
    rows = bank_rows("s/bank.v1", '{"id": "e", "question": "Why?", "good": "So."}\n{"id": "f", "n": 1}\n', True)
    places = [(r["role"], r["turn"], r["paragraph"], r["text"]) for r in rows]
    assert places == [
        ("exemplar", 0, 0, "e\n\nWhy?\n\nSo."),
        ("exemplar", 0, 1, "e"),
        ("exemplar", 0, 2, "Why?"),
        ("exemplar", 0, 3, "So."),
        ("exemplar", 1, 0, "f"),
    ]
    assert [r["turn"] for r in bank_rows("s/bank.v1", '{"a": "b", "c": "d"}', False)] == [0]


def test_templates_of_some_stages_only():
    rows = rows_of(stages=["synthesize_skillmix"], paragraphs=False)
    assert {r["template"].split("/")[0] for r in rows} == {"synthesize_skillmix"}
    with pytest.raises(PrerequisiteError, match="stage 'nobody' has no prompt template; those that have: .*degrade"):
        rows_of(stages=["nobody"])


def check(rows, folder, benchmarks):
    config = DecontaminateConfig(column="text", benchmarks=benchmarks, base_folder=str(folder))
    table = [{"id": f"t{i}", "text": r["text"]} for i, r in enumerate(rows)]
    return process_table(Decontaminate(config), table).rejects


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data sets are not beside this checkout")
def test_no_shipped_template_holds_an_item_of_the_real_benchmarks():
    named = [
        {"name": path, "path": path, "columns": columns} for path, columns in REAL.items() if (SHARED / path).exists()
    ]
    sentences = [row for row in rows_of() if len(row["text"].split()) > 1]  # a grade in an example is no test item
    found = check(sentences, SHARED, named)
    assert len(named) >= 2 and not found


def test_a_planted_exemplar_is_found_in_its_turn_and_by_itself(tmp_path):
    (tmp_path / "b.jsonl").write_text(json.dumps({"question": EXEMPLAR}) + "\n", "utf-8")
    prompt = Prompt(f"{HEADER}Write about {{{{ topic }}}}.\n\nExample: {EXEMPLAR}\n\nBegin.\n", "a.md")
    found = check(
        template_rows("s/a.v1", prompt, True), tmp_path, [{"name": "b", "path": "b.jsonl", "columns": ["question"]}]
    )
    assert [(r.row["id"], r.row["share"]) for r in found] == [("t0", 1.0), ("t2", 1.0)]


def test_the_recipe_runs_with_benchmarks_named_on_the_command_line(tmp_path):
    (tmp_path / "b.jsonl").write_text(json.dumps({"question": EXEMPLAR}) + "\n", "utf-8")
    named = f"[{{name: b, path: {tmp_path}/b.jsonl, columns: [question]}}]"
    done = prefmill("run", RECIPE, "--run-dir", tmp_path / "run", "--set", f"stages.clean.with.benchmarks={named}")
    assert done.code == 0, done.err
