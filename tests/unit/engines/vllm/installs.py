"""Installed-looking vLLMs without vLLM: metadata and the parts of its source that are read; model folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.engines.vllm.versions import NEEDS

ARGS = ("enable_lora", "seed", "scheduling_policy", "hf_overrides", "max_model_len", "create_engine_config")


def install(
    folder: Path,
    version: str = "0.32.0",
    distribution: str = "vllm",
    lacks: Sequence[str] = (),
    with_source: bool = True,
) -> Path:
    """Write a distribution whose source has all features but those named; return the folder for `sys.path`."""
    site = folder / "site"
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    if not with_source:
        return site
    files: dict[str, dict[str, list[str]]] = {"engine/arg_utils.py": {"EngineArgs": list(ARGS)}}
    for feature, (file, cls, member) in NEEDS.items():
        if feature not in lacks:
            files.setdefault(file, {}).setdefault(cls, []).append(member)
    for file, classes in files.items():
        path = site / "vllm" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"class {c}:\n" + "".join(f"    {m}: int = 0\n" for m in ms) for c, ms in classes.items())
        path.write_text(text)
    (site / "vllm" / "__init__.py").write_text("raise ImportError('must not be imported')\n")
    return site


def model_folder(folder: Path, **config: object) -> Path:
    """Write a folder that looks like a model's: a context of 512 tokens unless the configuration says otherwise."""
    path = folder / "model"
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config or {"max_position_embeddings": 512}))
    (path / "model.safetensors").write_bytes(b"weights")
    return path
