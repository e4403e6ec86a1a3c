"""A run folder: plan log, one folder for each stage and fingerprint, and the decision what may be resumed.

    runs/<name>/
      run.lock                        lease.py
      progress.json                   replaced every second, never read back
      workers/<name>.json, .log       the same of each worker, and what it said
      claims/<stage>-<fingerprint>/   claims.py
      plans/00001.json                append-only: which fingerprint each stage has, with the documents
      engines/<engine>/<attempt>.json figures of each process that opened it; `deaths.jsonl` beside them
      stages/<stage>/<fingerprint>/   data/, rejects/, commits/, journal/, sealed.json

Rows of two fingerprints lie in two folders, so they can never mix; an old folder stays until it is collected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.canonical import canonical_json, digest_of
from pipeline.errors import CorruptStore, PipelineError, ResumeError
from pipeline.plan.fingerprint import Fingerprint, changes
from pipeline.store.commits import CommitRecord, commit, current_records, read_record, record_name, record_names
from pipeline.store.files import make_folder, put_if_absent, replace_file
from pipeline.store.journal import Journal
from pipeline.store.shards import FileRef, read_shard, write_shard
from pipeline.types import Json

PLAN_VERSION = 1
_JOURNAL = re.compile(r"part-(\d{5,})(?:\.g(\d+))?-")


def shard_stem(shard: int) -> str:
    """Return the part of a file's name that says which shard it is."""
    return f"part-{shard:05d}"


class StageStore:
    """One stage's rows under one fingerprint."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Point at a folder; nothing is created before `prepare`."""
        self.folder, self.fingerprint = folder, fingerprint
        self.data, self.rejects = folder / "data", folder / "rejects"
        self.commits, self.journals = folder / "commits", folder / "journal"
        self._names: set[str] = set()
        self._records: dict[int, CommitRecord] | None = None

    def prepare(self) -> None:
        """Create the folders."""
        for path in (self.data, self.rejects, self.commits, self.journals):
            make_folder(path)

    @property
    def records(self) -> dict[int, CommitRecord]:
        """Return the counting records by shard; loaded once, kept up to date by `commit_shard` and `refresh`."""
        return self.refresh() if self._records is None else self._records

    def refresh(self) -> dict[int, CommitRecord]:
        """Read the records that other processes added since the last look, and those only; return all."""
        names = record_names(self.commits)
        known = {} if self._records is None else self._records
        for record in current_records(self.commits, names - self._names).values():
            if record.fingerprint != self.fingerprint:
                raise CorruptStore(
                    f"'{self.commits}' holds a record of fingerprint {record.fingerprint[:16]} in the folder of "
                    f"{self.fingerprint[:16]}; rows of two fingerprints are never mixed, remove the foreign record"
                )
            before = known.get(record.shard)
            if before is None or before.generation < record.generation:
                known[record.shard] = record
        self._names, self._records = names, known
        return known

    def refresh_shard(self, shard: int) -> None:
        """Look for a record of one shard that another process added; costs one look-up, not a listing."""
        records = self.records
        known = records.get(shard)
        path = self.commits / record_name(shard, known.generation + 1 if known else 0)
        while path.exists():
            records[shard] = known = read_record(path)
            path = self.commits / record_name(shard, known.generation + 1)

    @property
    def begun(self) -> bool:
        """Return whether anything was done here: a shard committed, or a request of an unfinished one journaled."""
        return bool(self.records) or any(self.journals.glob("*.journal"))

    @property
    def sealed(self) -> int | None:
        """Return the number of shards once it is known, None before."""
        return self._last_seal()[1]

    def seal(self, shards: int) -> None:
        """Say how many shards there are; a later word counts (a data-set stage made again may cut otherwise)."""
        generation, known = self._last_seal()
        if known != shards:
            name = "sealed.json" if known is None else f"sealed.g{generation + 1}.json"
            body: dict[str, Json] = {"shards": shards}
            put_if_absent(self.folder / name, canonical_json({**body, "digest": digest_of(body)}) + b"\n")

    def _last_seal(self) -> tuple[int, int | None]:
        generation = 0
        while (self.folder / f"sealed.g{generation + 1}.json").exists():
            generation += 1
        path = self.folder / (f"sealed.g{generation}.json" if generation else "sealed.json")
        try:
            body = json.loads(path.read_bytes())
            if body.pop("digest") != digest_of(body):
                raise ValueError("its digest does not fit its content")
            return generation, int(body["shards"])
        except FileNotFoundError:
            return 0, None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise CorruptStore(f"'{path}' cannot be read: {e}; nothing was changed") from e

    def journal(self, shard: int, generation: int, attempt: str) -> Journal:
        """Open the journal of an unfinished generation of a shard."""
        stem = shard_stem(shard) + (f".g{generation}" if generation else "")
        return Journal(self.journals, stem, attempt)

    def remove_stale_journals(self) -> None:
        """Delete the journals of committed generations, which a kill between a commit and its clean-up leaves."""
        for path in self.journals.glob("*.journal"):
            found = _JOURNAL.match(path.name)
            record = self.records.get(int(found[1])) if found else None
            if found and record and int(found[2] or 0) <= record.generation:
                path.unlink(missing_ok=True)

    def write(self, shard: int, table: pa.Table, rejects: pa.Table) -> tuple[FileRef | None, FileRef | None]:
        """Write the files of a shard; nothing counts before `commit_shard`."""
        stem = shard_stem(shard)
        data = write_shard(self.data, stem, table) if table.num_rows else None
        return data, write_shard(self.rejects, stem, rejects) if rejects.num_rows else None

    def commit_shard(self, record: CommitRecord) -> CommitRecord:
        """Publish a shard and remember the record that counts; a loser's files are removed."""
        winner = commit(self.commits, record)
        for folder, mine, theirs in (
            (self.data, record.data, winner.data),
            (self.rejects, record.rejects, winner.rejects),
        ):
            if mine and mine != theirs:
                (folder / mine.name).unlink(missing_ok=True)
        self.records[record.shard] = winner
        return winner

    def read(self, record: CommitRecord, columns: list[str] | None = None) -> pa.Table | None:
        """Return a shard's rows, None if it has none."""
        return None if record.data is None else read_shard(self.data, record.data, columns)

    def read_rejects(self, record: CommitRecord) -> pa.Table | None:
        """Return a shard's rejects, None if it has none."""
        return None if record.rejects is None else read_shard(self.rejects, record.rejects)


@dataclass(frozen=True)
class PlanRecord:
    """One entry of the plan log."""

    number: int
    run: Mapping[str, Json]
    """What the run as a whole says: recipe name and text, shard size, versions of packages."""
    stages: Mapping[str, Fingerprint]


class RunStore:
    """A run folder."""

    def __init__(self, folder: Path) -> None:
        """Point at a folder, which may not exist yet."""
        self.folder = folder
        self._stages: dict[tuple[str, str], StageStore] = {}

    def exists(self) -> bool:
        """Return whether a plan was ever recorded here."""
        try:
            return (self.folder / "plans" / "00001.json").exists()
        except OSError:  # a name that no file system takes
            return False

    def prepare(self) -> None:
        """Create the folder for the plan log."""
        make_folder(self.folder / "plans")

    def stage(self, stage_id: str, fingerprint: Fingerprint) -> StageStore:
        """Return the place of one stage's rows."""
        key = (stage_id, fingerprint.digest)
        if key not in self._stages:
            self._stages[key] = StageStore(self.folder / "stages" / stage_id / fingerprint.short, fingerprint.digest)
        return self._stages[key]

    def claims_folder(self, stage_id: str, fingerprint: str) -> Path:
        """Return where workers claim the shards of a unit that begins with this stage; it need not exist."""
        return self.folder / "claims" / f"{stage_id}-{fingerprint[:16]}"

    def engine_folder(self, name: str) -> Path:
        """Return where an engine's figures and faults are kept; it need not exist."""
        return self.folder / "engines" / name

    def record_statistics(self, name: str, attempt: str, figures: Mapping[str, Json]) -> None:
        """Keep an engine's figures at its closing; a full disk is left to the code that must write."""
        folder = self.engine_folder(name)
        try:
            make_folder(folder)
            count = sum(1 for p in folder.glob(f"{attempt}*.json"))
            replace_file(folder / f"{attempt}-{count}.json", canonical_json(dict(figures)) + b"\n")
        except (OSError, PipelineError):
            return

    def statistics(self) -> dict[str, list[dict[str, Json]]]:
        """Return the figures kept, by engine, each process's apart."""
        found: dict[str, list[dict[str, Json]]] = {}
        for path in sorted((self.folder / "engines").glob("*/*.json")):
            found.setdefault(path.parent.name, []).append(json.loads(path.read_bytes()))
        return found

    def latest_plan(self) -> PlanRecord | None:
        """Return the plan that counts: the one with the highest number.

        Raises:
            CorruptStore: if it cannot be read.
        """
        plans = sorted((self.folder / "plans").glob("[0-9][0-9][0-9][0-9][0-9].json"))
        return _read_plan(plans[-1]) if plans else None

    def record_plan(self, run: Mapping[str, Json], stages: Mapping[str, Fingerprint]) -> PlanRecord:
        """Append a plan to the log.

        Raises:
            ResumeError: if another process appended one in the same moment.
        """
        last = self.latest_plan()
        number = last.number + 1 if last else 1
        body = {
            "plan_version": PLAN_VERSION,
            "number": number,
            "run": dict(run),
            "order": list(stages),
            "stages": {i: {"digest": f.digest, "document": dict(f.document)} for i, f in stages.items()},
        }
        content = canonical_json({**body, "digest": digest_of(body)}) + b"\n"
        path = self.folder / "plans" / f"{number:05d}.json"
        if not put_if_absent(path, content) and path.read_bytes() != content:
            raise ResumeError(f"another run recorded plan {number} in '{self.folder}' just now; run the command again")
        return PlanRecord(number, run, stages)


def _read_plan(path: Path) -> PlanRecord:
    try:
        body = json.loads(path.read_bytes())
        digest = body.pop("digest")
        if digest != digest_of(body) or body["plan_version"] != PLAN_VERSION:
            raise ValueError("its digest or version does not fit")
        stages = {i: Fingerprint(**body["stages"][i]) for i in body["order"]}
        return PlanRecord(body["number"], body["run"], stages)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise CorruptStore(f"plan record '{path}' cannot be read: {e}; nothing was changed") from e


def differences(before: Mapping[str, Fingerprint], after: Mapping[str, Fingerprint]) -> list[str]:
    """Word what changed between two plans, stage by stage; empty if a run may simply continue.

    A stage that only inherits a change from upstream is not listed; a new stage contradicts nothing.
    """
    lines: list[str] = []
    for stage_id, old in before.items():
        new = after.get(stage_id)
        if new is None:
            lines.append(f"stage '{stage_id}' is no longer in the recipe")
        elif new.digest != old.digest:
            fields = changes(old.document, new.document)
            if fields:
                lines.append(f"stage '{stage_id}' changed in " + " and ".join(str(c) for c in fields[:6]))
    return lines


def refuse_changes(name: str, lines: Sequence[str], done: int, affected: Sequence[str]) -> ResumeError:
    """Build the error for a run that cannot continue as asked."""
    return ResumeError(
        f"run '{name}' cannot continue as asked: {'; '.join(lines)}. {done} committed shards of "
        f"{', '.join(affected)} would be made again. Use --resume recompute, or a new run name to keep both"
    )
