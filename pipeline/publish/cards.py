"""The data card: facts put into `data_cards/preference.md.j2`, where text from rows and recipes stays inert.

Row text stands only inside fences that are longer than any run of backticks in it; other text that somebody else
wrote goes through one of the filters below. Rendered once, in a sandbox, from plain values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.prompts import data_folder
from pipeline.types import Json

_TEMPLATE = "preference.md.j2"
_SHOWN = 2000
_BACKTICKS = re.compile(r"`+")
_SPECIAL = re.compile(r"([\\`*\[\]<>#|~$])")


def render_card(front_matter: str, facts: Mapping[str, Json]) -> str:
    """Return the README: front matter, then the filled template.

    Args:
        front_matter: YAML as `front_matter.py` makes it.
        facts: plain JSON values, the template's variables.
    """
    source = (data_folder("data_cards") / _TEMPLATE).read_text(encoding="utf-8")
    body = _environment().from_string(source).render(dict(facts)).strip("\n")
    return f"---\n{front_matter.strip()}\n---\n\n{body}\n"


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    env.globals.clear()
    env.filters = {f.__name__: f for f in (code, plain, paragraphs, fenced, turns, number, count, share)}
    return env


def fenced(text: str, language: str = "text") -> str:
    """Return text in a fenced block that nothing in it can close."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def code(text: Json) -> str:
    """Return text as a code span on one line that nothing in it can close, also inside a table."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if not line or line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def plain(text: str) -> str:
    """Return text on one line with everything escaped that Markdown or HTML would act on."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")
    return "\\" + line if line[:1] in ("-", "+", "=", "_") else line


def paragraphs(text: str) -> str:
    """Return text as plain paragraphs, divided where it has empty lines."""
    parts = [plain(p) for p in re.split(r"\n\s*\n", text)]
    return "\n\n".join(p for p in parts if p)


def shown(text: str) -> str:
    """Return a text of a row cut to a length fit to look at."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} [cut here; {len(text):,} characters in all]"


def turns(messages: Sequence[Mapping[str, str]]) -> str:
    """Return messages as text: a single one as it is, several with their roles."""
    if len(messages) == 1:
        return shown(messages[0]["content"])
    return "\n\n".join(f"[{m['role']}]\n{shown(m['content'])}" for m in messages)


def number(value: float) -> str:
    """Return a figure with four significant digits."""
    return f"{value:.4g}"


def count(value: float) -> str:
    """Return a whole number with thousands separated."""
    return f"{value:,.0f}"


def share(value: float) -> str:
    """Return a fraction as percent."""
    return f"{value:.1%}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in _BACKTICKS.findall(text)), default=0)
