"""Writes a finished run as a Hugging Face data set folder: pairs, candidates, card, manifest, recipe.

    DIR/
      data/train-00000-of-0000N.parquet         config `pairs`, the default; `test-...` where prompts fell there
      candidates/train-00000-of-0000N.parquet   config `candidates`: all responses with their scores
      README.md  manifest.json  recipe.yaml

Rows stream from checked files in bounded memory. Equal runs give equal bytes: no times, hosts or paths are written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as joined
from pathlib import Path

import pyarrow as pa

from pipeline.errors import PrerequisiteError
from pipeline.publish.cards import render_card
from pipeline.publish.facts import density_facts, engine_facts, methods_used, stage_facts, template_facts
from pipeline.publish.folder import FORMAT, MANIFEST, built_aside, refuse_taken
from pipeline.publish.front_matter import ConfigFiles, front_matter, hub_schema, pretty_name
from pipeline.publish.pairs import published_batch, published_schema
from pipeline.publish.selected import (
    checked_batches,
    find_candidate_stage,
    find_pair_stage,
    lineage_of,
    refuse_unfinished,
)
from pipeline.publish.show import first_pair
from pipeline.publish.splits import FILE_BYTES, FILE_ROWS, ConfigWriter, divide
from pipeline.publish.statistics import PairStatistics
from pipeline.store.files import sha256_of
from pipeline.store.manifest import RunView, StageView
from pipeline.types import Json

__all__ = ["ExportResult", "export_run", "first_pair"]

FORMAT_VERSION = 1
PAIRS, CANDIDATES = "pairs", "candidates"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written.

    Attributes:
        folder: the data set folder.
        stage: id of the stage whose rows are the pairs.
        splits: rows of config `pairs` by split; only splits that have rows.
        prompts: how many prompts have a pair.
        candidates: rows of config `candidates`, 0 if there is none.
        files: paths inside the folder, sorted.
    """

    folder: Path
    stage: str
    splits: Mapping[str, int]
    prompts: int
    candidates: int
    files: Sequence[str]

    @property
    def pairs(self) -> int:
        """Return the number of pairs."""
        return sum(self.splits.values())


def export_run(
    view: RunView,
    to: Path,
    *,
    stage: str | None = None,
    overwrite: bool = False,
    file_bytes: int = FILE_BYTES,
    file_rows: int = FILE_ROWS,
) -> ExportResult:
    """Write a data set folder; it appears under its name only once it is complete.

    Args:
        view: a finished run.
        to: the folder to make.
        stage: the pair stage; None for the last whose rows have `chosen` and `rejected`.
        overwrite: replace an earlier export that lies there.
        file_bytes: a data file ends once its rows take this much memory.
        file_rows: most rows of a data file.

    Raises:
        PrerequisiteError: if the run is not finished, makes no pairs, or something lies at `to`.
        CorruptStore: if a committed file is damaged, or a pair breaks a rule; the text names it.
        Stopped: if the disk is full.
    """
    refuse_unfinished(view)
    source = find_pair_stage(view, stage)
    refuse_taken(to, overwrite)
    with built_aside(to.absolute(), overwrite) as folder:
        limits = (file_bytes, file_rows)
        pairs, statistics = _write_pairs(folder, view, source, limits)
        candidates = _write_candidates(folder, find_candidate_stage(view, source), limits)
        configs = [pairs, *([candidates] if candidates else [])]
        _write_text(folder / "recipe.yaml", str(view.plan.run["recipe"]))
        _write_text(folder / "README.md", _card(view, source, configs, statistics))
        files = _describe_files(folder, configs)
        manifest = _manifest(view, source, configs, files)
        _write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=True) + "\n")
    splits = {s.name: s.rows for s in pairs.splits}
    rows = sum(s.rows for s in candidates.splits) if candidates else 0
    paths = sorted([*(str(f["path"]) for f in files), MANIFEST])
    return ExportResult(to, source.id, splits, statistics.prompts, rows, paths)


def _write_pairs(
    folder: Path, view: RunView, source: StageView, limits: tuple[int, int]
) -> tuple[ConfigFiles, PairStatistics]:
    statistics = PairStatistics()
    first, batches = _peek(checked_batches(source))
    if first is None:
        lost = ", ".join(f"{code} {n:,}" for code, n in sorted(source.rejects_by_code.items())) or "none"
        raise PrerequisiteError(
            f"stage '{source.id}' of run '{view.name}' made no pairs, so there is nothing to export; rejects of that "
            f"stage: {lost}"
        )
    schema = hub_schema(published_schema(first))
    fraction = float(view.plan.run["dataset"]["test_fraction"])
    with ConfigWriter(folder / "data", schema, ("train", "test"), *limits) as writer:
        for batch in batches:
            rows = published_batch(batch, schema, source.id)
            statistics.add(rows)
            writer.write(divide(rows, fraction))
        splits = writer.finish()
    return ConfigFiles(PAIRS, "data", schema, splits, _disk_bytes(folder / "data")), statistics


def _write_candidates(folder: Path, source: StageView | None, limits: tuple[int, int]) -> ConfigFiles | None:
    """Write all columns of the rows that the pairs were chosen from, in one split."""
    first, batches = _peek(checked_batches(source)) if source else (None, iter(()))
    if first is None:
        return None
    schema = hub_schema(first)
    with ConfigWriter(folder / CANDIDATES, schema, ("train",), *limits) as writer:
        for batch in batches:
            writer.write({"train": batch.cast(schema)})
        splits = writer.finish()
    return ConfigFiles(CANDIDATES, CANDIDATES, schema, splits, _disk_bytes(folder / CANDIDATES))


def _peek(batches: Iterator[pa.RecordBatch]) -> tuple[pa.Schema | None, Iterator[pa.RecordBatch]]:
    """Return the schema of the first batch, None if there is none, and all batches."""
    first = next(batches, None)
    return (None, iter(())) if first is None else (first.schema, joined([first], batches))


def _disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def _card(view: RunView, source: StageView, configs: Sequence[ConfigFiles], statistics: PairStatistics) -> str:
    run, chain = view.plan.run, lineage_of(view, source)
    dataset, engines = run["dataset"], engine_facts(chain)
    facts: dict[str, Json] = {
        "title": pretty_name(dataset, view.name),
        "run": view.name,
        "seed": run["seed"],
        "recipe": run["recipe"],
        "dataset": dataset,
        "packages": dict(sorted(run["packages"].items())),
        "overrides": overrides_text(view),
        "python": run["python"],
        "limit": chain[0].document.get("limit"),
        "stages": [stage_facts(s) for s in chain],
        "engines": engines,
        "scripted": [e["stage"] for e in engines if e["scripted"]],
        "templates": template_facts(chain),
        "density": density_facts(chain),
        "methods": methods_used(chain),
        "statistics": statistics.summary(),
        "sample": statistics.sample,
        "columns": [{"name": f.name, "type": str(f.type)} for f in configs[0].schema],
        "splits": [{"name": s.name, "rows": s.rows} for s in configs[0].splits],
        "candidates": sum(s.rows for c in configs[1:] for s in c.splits),
    }
    return render_card(front_matter(dataset, view.name, configs), facts)


def _describe_files(folder: Path, configs: Sequence[ConfigFiles]) -> list[dict[str, Json]]:
    rows = {f"{c.folder}/{name}": n for c in configs for s in c.splits for name, n in s.files.items()}
    return [
        {"path": name, "sha256": sha256_of(path), "bytes": path.stat().st_size, "rows": rows.get(name)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (name := path.relative_to(folder).as_posix())
    ]


def _overrides(view: RunView) -> Mapping[str, Json]:
    overrides: Mapping[str, Json] = view.plan.run.get("origin", {}).get("overrides", {})
    return overrides


def overrides_text(view: RunView) -> str:
    """Return what was set on the command line on top of the recipe, one `path=value` a line; often empty."""
    return "\n".join(f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in _overrides(view).items())


def _manifest(
    view: RunView, source: StageView, configs: Sequence[ConfigFiles], files: Sequence[Mapping[str, Json]]
) -> dict[str, Json]:
    run = view.plan.run
    recipe = str(run["recipe"])
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "run": view.name,
        "seed": run["seed"],
        "recipe": recipe,
        "recipe_sha256": hashlib.sha256(recipe.encode("utf-8", "backslashreplace")).hexdigest(),
        "packages": dict(run["packages"]),
        "overrides": dict(_overrides(view)),
        "python": run["python"],
        "pair_stage": source.id,
        "configs": {c.name: {s.name: s.rows for s in c.splits} for c in configs},
        "files": list(files),
        "stages": [
            {
                "id": s.id,
                "fingerprint": s.fingerprint.digest,
                "document": dict(s.document),
                "shards": len(s.records),
                "rows_in": s.rows_in,
                "rows_out": s.rows_out,
                "rejected_by_code": dict(s.rejects_by_code),
            }
            for s in lineage_of(view, source)
        ],
    }
