"""Bring a model's files from the Hugging Face hub into its usual cache, at a pinned commit, ahead of a run.

Takes what a model is loaded from (safetensors, configuration, tokenizer, chat template) and nothing that can run code
when read. The hub's own client moves the files, so every engine finds them where it looks anyway; `HF_ENDPOINT`,
`HF_HOME` and `HF_HUB_OFFLINE` mean what they mean to it. The token comes from `HF_TOKEN` only and appears in no text.
Knows no recipe. Does not know which of a repository's weight files an engine will read, so it takes all safetensors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Never, cast

from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from pipeline.errors import PrerequisiteError

WANTED: Final = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
UNWANTED: Final = ("original/*", "*.bin.index.json")
"""Left out: weights in another layout beside the usual one, and the table of contents of pickled weights."""

_Transport = cast("type[Exception]", HfHubHTTPError.__mro__[1])
"""Base of what the client raises when it gets no answer: its HTTP library's own, another one in other versions."""

_NOT_LOADED: Final = (".bin", ".pt", ".pth", ".ckpt", ".gguf")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What lies in the cache now.

    Attributes:
        folder: the snapshot folder.
        files: how many files of it belong to the model.
        size: their bytes.
        moved: the bytes that were not there before; None if the hub could not be asked and the cache was whole.
    """

    folder: Path
    files: int
    size: int
    moved: int | None


def fetch(repository: str, revision: str) -> Fetched:
    """Make sure that a model's files at a commit are in the hub cache.

    Args:
        repository: `owner/name`.
        revision: a commit of 40 hex digits.

    Raises:
        PrerequisiteError: the repository, the commit or its safetensors are not there, the hub refuses or cannot be
            reached and the cache lacks files, or there is no room.
    """
    (enable_progress_bars if sys.stderr.isatty() else disable_progress_bars)()
    api = HfApi(token=_token(), library_name="prefmill")
    try:
        sizes = _listing(api, repository, revision)
    except HfHubHTTPError as error:
        _explain(api, repository, revision, error)
    except (OfflineModeIsEnabled, _Transport) as error:
        return _from_cache(repository, revision, error)
    _need_safetensors(repository, sizes)
    wanted = [name for name in sizes if _is_wanted(name)]
    missing = [name for name in wanted if not _is_cached(repository, revision, name)]
    try:
        folder = _download(repository, revision, local=False)
    except HfHubHTTPError as error:
        _explain(api, repository, revision, error)
    except (_Transport, LocalEntryNotFoundError) as error:
        raise PrerequisiteError(_unreachable(repository, revision, error)) from None
    except OSError as error:
        raise PrerequisiteError(
            f"model '{repository}': its files, {sum(sizes[n] for n in wanted):,} bytes, cannot be written to "
            f"'{constants.HF_HUB_CACHE}': {error.strerror or error}. Make room, or name another folder by HF_HOME"
        ) from None
    return Fetched(folder, len(wanted), sum(sizes[n] for n in wanted), sum(sizes[n] for n in missing))


def _token() -> str | bool:
    """Return the environment's token, or False: a token that some login left in a file is not used."""
    return os.environ.get("HF_TOKEN") or False


def _listing(api: HfApi, repository: str, revision: str) -> Mapping[str, int]:
    """Return path and size of every file of a commit."""
    entries = api.list_repo_tree(repository, recursive=True, revision=revision)
    return {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}


def _need_safetensors(repository: str, names: Iterable[str]) -> None:
    found = list(names)
    if any(name.endswith(".safetensors") for name in found):
        return
    other = sorted(name for name in found if name.endswith(_NOT_LOADED))
    raise PrerequisiteError(
        f"model '{repository}' has no .safetensors file (found {', '.join(other[:5]) or 'no weights'}); other formats "
        "can run code when read, so they are not fetched. Take a repository that offers safetensors, or convert the "
        "weights and name the folder"
    )


def _is_wanted(name: str) -> bool:
    """Return whether a path in a repository is taken; the client reads the same patterns in the same way."""
    return any(fnmatch(name, p) for p in WANTED) and not any(fnmatch(name, p) for p in UNWANTED)


def _is_cached(repository: str, revision: str, name: str) -> bool:
    return isinstance(try_to_load_from_cache(repository, name, revision=revision), str)


def _download(repository: str, revision: str, *, local: bool) -> Path:
    folder = snapshot_download(
        repository,
        revision=revision,
        token=_token(),
        library_name="prefmill",
        allow_patterns=list(WANTED),
        ignore_patterns=list(UNWANTED),
        local_files_only=local,
    )
    return Path(folder)


def _from_cache(repository: str, revision: str, error: Exception) -> Fetched:
    """Return the cached snapshot where the hub cannot be asked; the client knows whether it is whole."""
    try:
        folder = _download(repository, revision, local=True)
    except LocalEntryNotFoundError:
        raise PrerequisiteError(_unreachable(repository, revision, error)) from None
    present = [p for p in folder.rglob("*") if p.is_file() and _is_wanted(p.relative_to(folder).as_posix())]
    _need_safetensors(repository, (p.name for p in present))
    return Fetched(folder, len(present), sum(p.stat().st_size for p in present), None)


def _unreachable(repository: str, revision: str, error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        seen = "HF_HUB_OFFLINE forbids to ask the hub"
    else:
        seen = f"the hub at {constants.ENDPOINT} cannot be reached ({type(error).__name__})"
    return (
        f"model '{repository}' at {revision}: {seen}, and the cache '{constants.HF_HUB_CACHE}' does not hold "
        "all of its files; fetch where there is a network, with HF_HOME on a disk that the nodes see"
    )


def _explain(api: HfApi, repository: str, revision: str, error: HfHubHTTPError) -> Never:
    """Raise what a refusal means for the user; the client's own text, which may quote a request, is not repeated."""
    page = f"{constants.ENDPOINT}/{repository}"
    token = "the one in HF_TOKEN was sent" if _token() else "HF_TOKEN is not set"
    if isinstance(error, RevisionNotFoundError):
        text = (
            f"has no commit {revision}; {_newest(api, repository)}. Look at what it holds before you set revision to it"
        )
    elif isinstance(error, GatedRepoError):
        text = f"is gated: accept its terms at {page}, and set HF_TOKEN to a token of that account ({token})"
    elif isinstance(error, RepositoryNotFoundError):
        text = f"is not on the hub at {constants.ENDPOINT}, or is private and needs a token ({token}); check its name"
    elif error.response.status_code in (401, 403):
        text = f"is refused by the hub (HTTP {error.response.status_code}); check the token ({token})"
    else:
        seen = f"HTTP {error.response.status_code}"
        text = f"cannot be fetched: the hub at {constants.ENDPOINT} answered {seen}; try again later"
    raise PrerequisiteError(f"model '{repository}' {text}") from None


def _newest(api: HfApi, repository: str) -> str:
    try:
        commit = api.model_info(repository).sha
    except _Transport:  # refusals too
        return "its newest commit could not be asked for"
    return f"its newest is {commit}"
