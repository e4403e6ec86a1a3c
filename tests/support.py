"""Small recipes with the scripted engine, plug-ins made on the spot, and the command line run in this process."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cli.main import run_command

Value = dict[str, Any]

QUESTIONS = ("How do I bake bread?", "What is a good first book?", "Why is the sky blue?")


@dataclass(frozen=True)
class Result:
    """What a command returned and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def prefmill(*arguments: object) -> Result:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command([str(a) for a in arguments])
    return Result(code, out.getvalue(), err.getvalue())


def pair_recipe() -> Value:
    """Prompts from a file, two responses each, two scorers, a reward, pairs."""
    return {
        "recipe": 1,
        "name": "small",
        "seed": 17,
        "engines": {
            "policy": {"kind": "scripted", "model": "policy", "revision": "r1"},
            "strong": {"kind": "scripted", "model": "strong", "revision": "r1"},
            "weak": {"kind": "scripted", "model": "weak", "revision": "r1"},
        },
        "stages": [
            {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}},
            {
                "id": "responses",
                "use": "sample_responses",
                "from": "prompts",
                "roles": {"policy": "policy"},
                "with": {"n": 2, "system": "Be brief."},
            },
            {
                "id": "strong_lp",
                "use": "score_logprobs",
                "from": "responses",
                "roles": {"scorer": "strong"},
                "with": {"column": "strong_logprob"},
            },
            {
                "id": "weak_lp",
                "use": "score_logprobs",
                "from": "strong_lp",
                "roles": {"scorer": "weak"},
                "with": {"column": "weak_logprob"},
            },
            {"id": "reward", "use": "density_ratio", "from": "weak_lp", "with": {}},
            {"id": "pairs", "use": "select_pairs", "from": "reward", "with": {"rule": "best_worst"}},
        ],
        "limits": {"shard_rows": 2, "rows_in_flight": 8, "max_reject_rate": 1.0},
    }


def short_recipe(**engine: Any) -> Value:
    """Prompts from a file and one response each."""
    return {
        "recipe": 1,
        "name": "short",
        "seed": 17,
        "engines": {"policy": {"kind": "scripted", **engine}},
        "stages": [
            {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}},
            {"id": "responses", "use": "sample_responses", "roles": {"policy": "policy"}, "with": {"n": 1}},
        ],
        "limits": {"shard_rows": 2, "rows_in_flight": 8, "max_reject_rate": 1.0},
    }


def skillmix_recipe() -> Value:
    """From domains to pairs, every reply scripted."""
    skills = [{"name": f"skill {c}", "definition": f"Does {c}."} for c in "abcd"]
    types = [{"name": "how to", "definition": "Wants steps.", "examples": ["How?"]}]
    story = "### Instruction\nMy club meets on Fridays; help me to prepare a short talk, please (case {seed})."
    rules = [
        {"when": r"Name \d+ topics", "replies": [json.dumps(["choosing tools", "planning"])]},
        {"when": r"Name \d+ skills", "replies": [json.dumps(skills)]},
        {"when": r"Name \d+ query types", "replies": [json.dumps(types)]},
        {"when": "Write one instruction", "replies": [story]},
    ]
    value = pair_recipe()
    value["name"] = "mix"
    value["engines"]["generator"] = {"kind": "scripted", "model": "generator", "revision": "g7", "rules": rules}
    generator = {"generator": "generator"}
    value["stages"] = [
        {"id": "domains", "use": "load_domains", "with": {"domains": ["home cooking"]}},
        {"id": "skills", "use": "extract_skills", "roles": generator, "with": {"topics": 2}},
        {"id": "plan", "use": "plan_skillmix", "with": {"n": 4}},
        {"id": "instructions", "use": "synthesize_skillmix", "roles": generator, "with": {"mode": "one_turn"}},
        *value["stages"][1:],
    ]
    stage(value, "responses")["from"] = "instructions"
    return value


def stage(value: Value, stage_id: str) -> Value:
    """Return one entry of `stages:`."""
    found: Value = next(s for s in value["stages"] if s["id"] == stage_id)
    return found


def changed(value: Value, path: str, new: Any) -> Value:
    """Return a copy with the value at a dotted path replaced; stages are named by id."""
    out = copy.deepcopy(value)
    here: Any = out
    *parents, last = path.split(".")
    for part in parents:
        here = stage({"stages": here}, part) if isinstance(here, list) else here.setdefault(part, {})
    here[last] = new
    return out


def write(folder: Path, value: Value | str | bytes, questions: tuple[str, ...] = QUESTIONS) -> Path:
    """Write a recipe (JSON is YAML) with its input file beside it; return the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"prompt": q}) + "\n" for q in questions)
    (folder / "prompts.jsonl").write_text(lines, "utf-8")
    path = folder / "recipe.yaml"
    raw = json.dumps(value, indent=1) if isinstance(value, dict) else value
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return path


def run(recipe: Path, folder: Path, *options: object) -> Result:
    """Run a recipe into a run folder."""
    return prefmill("run", recipe, "--run-dir", folder, *options)


def folders(run_folder: Path) -> dict[str, set[str]]:
    """Return the fingerprint folders of each stage."""
    return {p.name: {q.name for q in p.iterdir()} for p in sorted((run_folder / "stages").iterdir())}


def files(run_folder: Path) -> dict[str, bytes]:
    """Return every file that is part of the results; not the lock and the progress file."""
    left_out = {"run.lock", "progress.json"}
    found = (p for p in sorted(run_folder.rglob("*")) if p.is_file() and p.name not in left_out)
    return {str(p.relative_to(run_folder)): p.read_bytes() for p in found}


def requests_made(run_folder: Path) -> int:
    """Return how many requests the last start made to engines."""
    stages = json.loads((run_folder / "progress.json").read_bytes())["stages"]
    return sum(s["requests"] for s in stages)


def plug_in(folder: Path, distribution: str, group: str, entries: dict[str, str], code: str = "") -> None:
    """Write an installed distribution with entry points and one module of the same name into a folder."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    (folder / f"{distribution}.py").write_text(code)
    os.utime(folder)
