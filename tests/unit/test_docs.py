"""What the pages, the README and the recipes' headers tell a user to type exists: commands, options, files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from pipeline.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/annotators").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
FENCE = re.compile(r"^```(?:bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
COMMANDS = typer.main.get_command(app).commands


def lines_of(path: Path) -> list[str]:
    """Return the command lines of a page's fences, or of the comment at the head of a recipe."""
    text = path.read_text("utf-8")
    shown = FENCE.findall(text) if path.suffix == ".md" else re.findall(r"^#\s+(prefmill .*)$", text, re.MULTILINE)
    return "\n".join(shown).replace("\\\n", " ").splitlines()


def words_of(line: str) -> list[str]:
    """Return the words from `prefmill` on, without what a pipe, a comment or another command brings after them."""
    words = shlex.split(line, comments=True)
    words = words[words.index("prefmill") + 1 :] if "prefmill" in words else []
    ends = [i for i, w in enumerate(words) if w in ("|", "&&", ";", "||", ">", "&")]
    return words[: ends[0]] if ends else words


TYPED = [
    (path, line, words)
    for path in [*PAGES, *RECIPES]
    for line in lines_of(path)
    if "prefmill" in line and (words := words_of(line))
]


@pytest.mark.parametrize(("path", "line", "words"), TYPED, ids=lambda v: v if isinstance(v, str) else "")
def test_a_command_that_is_shown_exists_with_its_options(path, line, words):
    assert words[0] in COMMANDS, f"{path.name}: {line}"
    known = {o for p in COMMANDS[words[0]].params for o in (*p.opts, *p.secondary_opts)}
    used = {w.split("=")[0] for w in words[1:] if re.match(r"--?[a-z]", w)}
    assert used <= known | {"-h", "--help"}, f"{path.name}: {line}"


def test_commands_were_found_in_every_place():
    places = {path.parent.relative_to(ROOT).as_posix() for path, _, _ in TYPED}
    assert {".", "docs", "docs/annotators", "recipes", "recipes/gpu"} <= places


@pytest.mark.parametrize(("path", "line", "words"), TYPED, ids=lambda v: v if isinstance(v, str) else "")
def test_a_recipe_that_is_named_is_there(path, line, words):
    missing = [w for w in words if w.startswith("recipes/") and not (ROOT / w).exists()]
    assert not missing, f"{path.name}: {line}"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_links_between_files_lead_somewhere(path):
    assert not [target for target in LINK.findall(path.read_text("utf-8")) if not (path.parent / target).exists()]
