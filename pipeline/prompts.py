"""Prompt templates: files with a YAML header and a Jinja2 body, rendered once in a sandbox.

A file `prompts/<stage>/<name>.v<N>.md` starts with a header between `---` lines (name, version, inputs, source)
and holds one or more turns, each opened by a line `<<system>>`, `<<user>>` or `<<assistant>>`; a body without such
a line is one user turn. The file is cut into turns before rendering, so text put in by a variable can neither
open a turn nor be expanded again. A released file is never edited, only superseded by the next version.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import RecipeError
from pipeline.plain_yaml import read_plain_yaml
from pipeline.types import Message

_TURN = re.compile(r"^<<(system|user|assistant)>>[ \t]*\n", re.MULTILINE)
_HEADER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_NAME = re.compile(r"[a-z][a-z0-9_]*\.v[1-9][0-9]*")
_MAX_SOURCE = 100_000


class PromptHeader(BaseModel):
    """The header of a prompt file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    inputs: tuple[str, ...]
    source: str
    """The paper or note that the template implements."""


class Prompt:
    """One template, cut into turns and compiled; `digest` is the SHA-256 of the file's bytes."""

    def __init__(self, text: str, where: str) -> None:
        """Read a template.

        Raises:
            RecipeError: if header or body cannot be read; the text names `where`.
        """
        self.where = where
        self.text = text
        self.header, body = _split_header(text, where)
        self.turns = _split_turns(body)
        self.digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        self._templates  # noqa: B018  compile now, so that a bad template ends before any model is loaded

    @cached_property
    def _templates(self) -> list[tuple[str, Any]]:
        from pipeline.sandbox import TemplateFault, compile_template  # late: see there

        try:
            return [(role, compile_template(source, self.header.inputs)) for role, source in self.turns]
        except TemplateFault as e:
            raise RecipeError(f"prompt template '{self.where}' does not compile: {e}") from None

    def render(self, **variables: Any) -> tuple[Message, ...]:
        """Return the turns with variables put in once.

        Raises:
            ValueError: if the variables are not exactly the header's inputs, or the template breaks a sandbox rule.
        """
        if set(variables) != set(self.header.inputs):
            raise ValueError(
                f"prompt template '{self.where}' takes {sorted(self.header.inputs)}, got {sorted(variables)}"
            )
        from pipeline.sandbox import TemplateFault, render_template

        plain = {k: _plain(v) for k, v in variables.items()}
        try:
            turns = [(role, render_template(t, plain).strip("\n")) for role, t in self._templates]
        except TemplateFault as e:
            raise ValueError(f"prompt template '{self.where}' failed to render: {e}") from None
        return tuple({"role": role, "content": text} for role, text in turns)


def _split_header(text: str, where: str) -> tuple[PromptHeader, str]:
    if len(text) > _MAX_SOURCE:
        raise RecipeError(f"prompt template '{where}' has {len(text):,} characters; at most {_MAX_SOURCE:,} are read")
    found = _HEADER.match(text)
    if not found:
        raise RecipeError(
            f"prompt template '{where}' has no header; it must start with '---', name, version, inputs, source, '---'"
        )
    try:
        header = PromptHeader.model_validate(read_plain_yaml(found[1], f"the header of prompt template '{where}'"))
    except ValidationError as e:
        raise RecipeError(f"prompt template '{where}' has a header that cannot be read: {e}") from None
    return header, text[found.end() :]


def _split_turns(body: str) -> list[tuple[str, str]]:
    marks = list(_TURN.finditer(body))
    if not marks:
        return [("user", body.strip("\n"))]
    ends = [m.start() for m in marks[1:]] + [len(body)]
    return [(m[1], body[m.end() : end].strip("\n")) for m, end in zip(marks, ends, strict=True)]


def _plain(value: Any) -> Any:
    """Copy into str, int, float, bool, None, list, dict: a template must not reach methods of our objects."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    raise ValueError(f"a prompt variable must be text, number, list or mapping, got {type(value).__name__}")


def data_folder(name: str) -> Path:
    """Return the folder `prompts` or `data_cards`: inside the wheel, else beside `pipeline` in a checkout.

    Raises:
        RecipeError: if neither is there, which means that the installation is incomplete.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "_data" / name, here.parent / name):
        if folder.is_dir():
            return folder
    raise RecipeError(
        f"the folder '{name}' of prefmill is neither in '{here / '_data'}' nor in '{here.parent}'; "
        "install the package again"
    )


def shipped_prompts() -> dict[str, Prompt]:
    """Return every template that prefmill ships, by `<stage>/<name>.v<N>`, sorted.

    Raises:
        RecipeError: if a file is malformed or the folder is missing.
    """
    paths = sorted(data_folder("prompts").glob("*/*.md"))
    return {f"{p.parent.name}/{p.stem}": load_prompt(p.parent.name, p.stem) for p in paths}


def shipped_banks() -> dict[str, str]:
    """Return the text of every bank of exemplars that prefmill ships, by `<stage>/<name>.v<N>`, sorted.

    A bank is a file of JSON Lines beside a stage's templates; what its records hold is the stage's business.

    Raises:
        RecipeError: if the folder is missing.
    """
    paths = sorted(data_folder("prompts").glob("*/*.jsonl"))
    return {f"{p.parent.name}/{p.stem}": p.read_text("utf-8") for p in paths}


def load_prompt(stage: str, name: str, folder: Path | None = None) -> Prompt:
    """Load `<stage>/<name>.md` from the shipped templates, or `<name>.md` from a third party's folder.

    Raises:
        RecipeError: if the name is malformed, the file is missing, or its header contradicts the name.
    """
    if not _NAME.fullmatch(name):
        raise RecipeError(f"prompt '{name}' of stage '{stage}' must be named '<name>.v<N>'")
    path = (folder or data_folder("prompts") / stage) / f"{name}.md"
    prompt = load_prompt_file(path)
    if f"{prompt.header.name}.v{prompt.header.version}" != name:
        raise RecipeError(
            f"prompt template '{path}' says name '{prompt.header.name}', version "
            f"{prompt.header.version}; its file name says '{name}'"
        )
    return prompt


def load_prompt_file(path: Path) -> Prompt:
    """Load a template from any file.

    Raises:
        RecipeError: if the file is missing or not UTF-8.
    """
    try:
        return Prompt(path.read_bytes().decode("utf-8"), str(path))
    except OSError as e:
        raise RecipeError(f"prompt template '{path}' cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"prompt template '{path}' is not UTF-8 text") from None
