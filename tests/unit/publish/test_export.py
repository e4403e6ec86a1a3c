"""The exported folder: what is in it, that readers take it, and that it is whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.errors import CorruptStore, PipelineError, PrerequisiteError
from pipeline.publish.export import export_run
from pipeline.store.files import sha256_of


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def rows_of(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob(pattern)) for row in pq.read_table(path).to_pylist()]


def test_pairs_are_written_as_messages_with_scores(view, tmp_path):
    result = export_run(view, tmp_path / "out")
    rows = {r["id"]: r for r in rows_of(tmp_path / "out", "data/*.parquet")}
    assert result.pairs == len(rows) == 12
    assert rows["pair3"]["prompt"] == [{"role": "user", "content": "Question 3?"}]
    assert rows["pair3"]["chosen"] == [{"role": "assistant", "content": "Answer 1 and more"}]
    assert rows["pair3"]["rejected"] == [{"role": "assistant", "content": "Answer 0"}]
    assert (rows["pair3"]["score_chosen"], rows["pair3"]["margin"], rows["pair3"]["tied"]) == (1.0, 1.0, 1)


def test_pair_columns_stand_in_a_fixed_order_and_lists_of_ids_are_left_out(view, tmp_path):
    export_run(view, tmp_path / "out")
    assert pq.read_schema(tmp_path / "out/data/train-00000-of-00001.parquet").names == [
        "id", "prompt_id", "prompt", "chosen", "rejected", "score_chosen", "score_rejected", "margin", "rule",
        "chosen_id", "rejected_id", "candidates", "tied",
    ]  # fmt: skip


def test_candidates_are_all_rows_that_pairs_were_chosen_from(view, tmp_path):
    result = export_run(view, tmp_path / "out")
    rows = rows_of(tmp_path / "out", "candidates/*.parquet")
    assert rows == [row for table in view.stages["reward"].tables() for row in table.to_pylist()]
    assert result.candidates == len(rows) == 24


def test_load_dataset_reads_both_configs_back_equal(view, tmp_path):
    datasets = pytest.importorskip("datasets")
    export_run(view, tmp_path / "out")
    cache = str(tmp_path / "cache")
    pairs = datasets.load_dataset(str(tmp_path / "out"), cache_dir=cache)
    candidates = datasets.load_dataset(str(tmp_path / "out"), "candidates", split="train", cache_dir=cache)
    for split in ("train", "test"):
        assert pairs[split].to_list() == rows_of(tmp_path / "out", f"data/{split}-*.parquet")
    assert candidates.to_list() == rows_of(tmp_path / "out", "candidates/*.parquet")
    written = pq.read_schema(tmp_path / "out/data/train-00000-of-00001.parquet")
    assert datasets.Features.from_arrow_schema(written) == pairs["train"].features


def test_trl_takes_the_rows_as_conversational_with_explicit_prompt(view, tmp_path):
    data_utils = pytest.importorskip("trl.data_utils")
    export_run(view, tmp_path / "out")
    row = rows_of(tmp_path / "out", "data/train-*.parquet")[0]
    texts = {name: row[name] for name in ("prompt", "chosen", "rejected")}
    assert data_utils.is_conversational(texts)
    assert data_utils.maybe_extract_prompt(dict(texts)) == texts


def test_no_prompt_is_in_two_splits(view, tmp_path):
    result = export_run(view, tmp_path / "out")
    train, test = (
        {r["prompt_id"] for r in rows_of(tmp_path / "out", f"data/{s}-*.parquet")} for s in ("train", "test")
    )
    assert train and test and not train & test
    assert result.splits == {"train": len(train), "test": len(test)}


def test_pairs_of_one_prompt_go_to_the_same_split(builder, pair, tmp_path):
    builder.replace_pairs([pair(p % 12, id=f"pair{p}") for p in range(48)])
    result = export_run(builder.write(), tmp_path / "out")
    train, test = (
        {r["prompt_id"] for r in rows_of(tmp_path / "out", f"data/{s}-*.parquet")} for s in ("train", "test")
    )
    assert len(train | test) == result.prompts == 12 and not train & test


def test_an_empty_split_has_no_file_and_no_front_matter(builder, tmp_path):
    builder.run["dataset"]["test_fraction"] = 0.0
    result = export_run(builder.write(), tmp_path / "out")
    assert result.splits == {"train": 12}
    assert [p.name for p in (tmp_path / "out/data").iterdir()] == ["train-00000-of-00001.parquet"]
    assert "test-*" not in (tmp_path / "out/README.md").read_text()


def test_a_run_whose_prompts_all_fall_to_test_loads(builder, tmp_path):
    datasets = pytest.importorskip("datasets")
    builder.run["dataset"]["test_fraction"] = 0.9999999
    assert export_run(builder.write(), tmp_path / "out").splits == {"test": 12}
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"test": 12}
    assert 'split="test"' in (tmp_path / "out/README.md").read_text()


def test_files_are_cut_by_rows_and_named_by_their_number(view, tmp_path):
    result = export_run(view, tmp_path / "out", file_rows=4)
    names = sorted(p.name for p in (tmp_path / "out/data").glob("train-*"))
    assert names == [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    assert [pq.read_metadata(tmp_path / "out/data" / n).num_rows for n in names] == [4, 4, 1]
    assert result.splits["train"] == 9


def test_files_are_cut_by_bytes_without_an_empty_file(view, tmp_path):
    export_run(view, tmp_path / "out", file_bytes=1)
    for path in (tmp_path / "out").rglob("*.parquet"):
        meta = pq.read_metadata(path)
        assert meta.num_rows and all(meta.row_group(g).num_rows for g in range(meta.num_row_groups))


def test_files_have_page_index_and_zstd(view, tmp_path):
    export_run(view, tmp_path / "out")
    column = pq.read_metadata(tmp_path / "out/data/train-00000-of-00001.parquet").row_group(0).column(0)
    assert column.compression == "ZSTD" and column.has_column_index and column.has_offset_index


def test_manifest_has_the_hash_and_rows_of_every_other_file(view, tmp_path):
    result = export_run(view, tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {f["path"] for f in manifest["files"]} | {"manifest.json"} == set(files_of(tmp_path / "out"))
    assert all(sha256_of(tmp_path / "out" / f["path"]) == f["sha256"] for f in manifest["files"])
    assert sum(f["rows"] for f in manifest["files"] if f["path"].startswith("data/")) == 12
    assert {s["id"]: s["fingerprint"] for s in manifest["stages"]} == {
        i: s.fingerprint.digest for i, s in view.stages.items()
    }
    assert list(result.files) == sorted(files_of(tmp_path / "out"))


def test_recipe_is_written_as_recorded(builder, tmp_path):
    builder.run["recipe"] = "recipe: 1\r\n# é  \nname: demo"
    export_run(builder.write(), tmp_path / "out")
    assert (tmp_path / "out/recipe.yaml").read_bytes() == "recipe: 1\r\n# é  \nname: demo".encode()


def test_exporting_twice_gives_equal_bytes(view, tmp_path):
    export_run(view, tmp_path / "one")
    export_run(view, tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_no_environment_value_reaches_the_folder(view, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary-4f1b")
    monkeypatch.setenv("HF_TOKEN", "canary-4f1b")
    export_run(view, tmp_path / "out")
    assert not any(b"canary-4f1b" in content for content in files_of(tmp_path / "out").values())


def test_no_local_path_reaches_the_folder(view, tmp_path):
    export_run(view, tmp_path / "out")
    assert not any(str(tmp_path).encode() in content for content in files_of(tmp_path / "out").values())


def test_an_unfinished_run_is_refused_and_its_stages_named(builder, tmp_path):
    view = builder.write(unfinished=("reward", "pairs"))
    with pytest.raises(PrerequisiteError, match="stage 'reward' has 3 of an unknown number.*stage 'pairs'"):
        export_run(view, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_with_a_missing_shard_is_refused(builder, tmp_path):
    view = builder.write()
    view.stages["weak_lp"].store.seal(5)
    with pytest.raises(PrerequisiteError, match="stage 'weak_lp' has 3 of 5 shards"):
        export_run(view, tmp_path / "out")


def test_a_run_without_pair_stage_is_refused(builder, tmp_path):
    del builder.documents["pairs"], builder.shards["pairs"]
    with pytest.raises(PrerequisiteError, match="no stage with columns 'chosen' and 'rejected'.*select_pairs"):
        export_run(builder.write(), tmp_path / "out")


@pytest.mark.parametrize(("stage", "text"), [("reward", "makes no pairs"), ("nowhere", "does not exist")])
def test_a_named_stage_without_pairs_is_refused(view, tmp_path, stage, text):
    with pytest.raises(PrerequisiteError, match=f"'{stage}' of run 'demo' {text}.*: pairs"):
        export_run(view, tmp_path / "out", stage=stage)


def test_a_run_without_any_pair_is_refused_with_the_reject_codes(builder, tmp_path):
    builder.shards["pairs"] = (builder.shards["pairs"][0], [[], []], [builder.shards["pairs"][2][0], []])
    with pytest.raises(PrerequisiteError, match="made no pairs.*pairs.tie 1"):
        export_run(builder.write(), tmp_path / "out")
    assert os.listdir(tmp_path) == ["run"]


def test_a_later_pair_stage_is_taken_unless_another_is_named(builder, pair, tmp_path):
    builder.add("clean", "decontaminate", builder.shards["pairs"][0], [[pair(0), pair(1)]])
    view = builder.write()
    last, named = export_run(view, tmp_path / "a"), export_run(view, tmp_path / "b", stage="pairs")
    assert (last.stage, last.pairs, last.candidates) == ("clean", 2, 24)
    assert (named.stage, named.pairs) == ("pairs", 12)


def test_a_source_that_brings_pairs_has_no_candidates(builder, tmp_path):
    pairs = builder.shards["pairs"]
    builder.documents.clear()
    builder.shards.clear()
    builder.add("given", "load_pairs", pairs[0], pairs[1])
    result = export_run(builder.write(), tmp_path / "out")
    assert result.candidates == 0 and not (tmp_path / "out/candidates").exists()
    assert "candidates = " not in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize("stage", ["pairs", "reward"])
def test_a_damaged_shard_is_never_exported(view, tmp_path, stage):
    store = view.stages[stage].store
    path = store.data / store.records[1].data.name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorruptStore, match=r"is damaged: its SHA-256"):
        export_run(view, tmp_path / "out")
    assert os.listdir(tmp_path) == ["run"]


def test_a_missing_shard_file_is_named(view, tmp_path):
    store = view.stages["pairs"].store
    (store.data / store.records[2].data.name).unlink()
    with pytest.raises(CorruptStore, match="part-00002.*it is missing"):
        export_run(view, tmp_path / "out")


def test_an_existing_folder_is_refused(view, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(PrerequisiteError, match="exists"):
        export_run(view, tmp_path / "out")


def test_overwrite_replaces_an_earlier_export(builder, pair, tmp_path):
    export_run(builder.write(), tmp_path / "out", file_rows=2)
    builder.folder = tmp_path / "other"
    builder.replace_pairs([pair(0)])
    export_run(builder.write(), tmp_path / "out", overwrite=True)
    assert len(rows_of(tmp_path / "out", "data/*.parquet")) == 1
    assert sorted(os.listdir(tmp_path)) == ["other", "out", "run"]


def test_overwrite_leaves_what_is_no_export(view, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text('{"format": "another"}')
    with pytest.raises(PrerequisiteError, match="is no export of prefmill"):
        export_run(view, tmp_path / "out", overwrite=True)
    assert os.listdir(tmp_path / "out") == ["manifest.json"]


def test_overwrite_leaves_a_file_in_place_of_a_folder(view, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(PrerequisiteError, match="is no export of prefmill"):
        export_run(view, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_text() == "mine"


def test_overwrite_leaves_a_link(view, tmp_path):
    export_run(view, tmp_path / "real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(PrerequisiteError, match="is no export of prefmill"):
        export_run(view, tmp_path / "out", overwrite=True)


def test_overwrite_leaves_an_export_with_files_of_somebody_else(view, tmp_path):
    export_run(view, tmp_path / "out")
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(PrerequisiteError, match="1 files that no export wrote, such as 'notes.txt'"):
        export_run(view, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(view, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="cannot write"):
        export_run(view, tmp_path / "file" / "out")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pipeline.errors import Stopped
from pipeline.publish.export import export_run
from pipeline.store.manifest import open_run
import datasets, huggingface_hub
view = open_run(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    export_run(view, Path(sys.argv[2]))
except Stopped as e:
    print("stopped:", e)
"""


def test_a_full_disk_leaves_nothing_under_the_name(view, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(view.folder), str(tmp_path / "out")], capture_output=True, text=True
    )
    assert "stopped: cannot write" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == ["run"]


KILLED = """
import os, signal, sys
from pathlib import Path
import pipeline.publish.export as export
from pipeline.store.manifest import open_run
export.sha256_of = lambda path: os.kill(os.getpid(), signal.SIGKILL)
export.export_run(open_run(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_kill_leaves_nothing_under_the_name_and_the_next_export_works(view, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(view.folder), str(tmp_path / "out")])
    assert done.returncode == -9 and not (tmp_path / "out").exists()
    assert export_run(view, tmp_path / "out").pairs == 12


def test_importing_the_exporter_imports_no_heavy_package():
    code = "import sys, pipeline.publish.export; print({'datasets', 'huggingface_hub', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
