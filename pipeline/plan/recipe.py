"""The recipe file: its shape, how it is read, and how mistakes in it are worded.

YAML 1.2 without tags, anchors or aliases; unknown keys are errors. Secrets, code and import paths have no place in
it. What a stage's `with:` or an engine's options mean is the business of their own config types (`plan.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import RecipeError
from pipeline.plain_yaml import read_plain_yaml
from pipeline.plan.wording import explain_validation
from pipeline.types import Json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_BYTES = 1_000_000
LENGTH = "length"
"""Annotator that every audit adds: it prefers the longer response."""


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"'{value[:120]}' is no name: 1 to 100 letters, digits, '.', '_' or '-', no '.' in front")
    return value


def _checked_key(value: str) -> str:
    if "." in _checked_name(value):
        raise ValueError(f"'{value[:120]}' has a '.', which separates the parts of a path in --set; use '_' or '-'")
    return value


Name = Annotated[str, AfterValidator(_checked_name)]
"""Names a recipe and its run folder."""

Key = Annotated[str, AfterValidator(_checked_key)]
"""Names a stage or an engine; can be addressed by `--set`."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class StageSpec(_Strict):
    """One entry of `stages:`."""

    id: Key
    use: str
    from_: Key | None = Field(default=None, alias="from")
    """The stage whose rows it takes; the one before it unless given."""
    roles: dict[str, str] = {}
    with_: dict[str, Any] = Field(default={}, alias="with")
    prompts: dict[str, str] = {}
    """Own template files in place of a stage's: template name to path, relative to the recipe."""
    max_reject_rate: float | None = Field(default=None, ge=0, le=1)
    """Overrides `limits.max_reject_rate` for this stage."""


class Limits(_Strict):
    """How much at once and how many rejects; none of these changes what is written.

    `shard_rows` and `shard_bytes` hold for a run's first start; a resumed run keeps the shards it has.
    """

    rows_in_flight: int = Field(default=256, ge=1, le=100_000)
    shard_rows: int = Field(default=1000, ge=1, le=1_000_000)
    shard_bytes: int = Field(default=64_000_000, ge=1000)
    max_reject_rate: float = Field(default=0.05, ge=0, le=1)
    resident_engines: int = Field(default=1, ge=1)
    rows_ahead: int = Field(default=8192, ge=1)
    """Most rows of one stage that are finished or running but not yet in a committed shard."""
    drain_seconds: float = Field(default=10.0, ge=0, le=15)
    """After SIGINT or SIGTERM, how long requests in flight may still finish."""
    table_workers: int = Field(default=2, ge=1, le=64)


class DatasetInfo(_Strict):
    """What the data card says about the published dataset; does not change the rows."""

    pretty_name: str | None = None
    license: str | None = None
    language: list[str] = ["en"]
    description: str | None = None
    notes: list[str] = []
    tags: list[str] = []
    test_fraction: float = Field(default=0.05, ge=0, lt=1)


class AnnotatorSpec(_Strict):
    """One entry of `audit:`: where an annotator's verdicts stand. Exactly one of `score` and `preference` is given."""

    name: Key
    stage: Key
    score: str | None = None
    """Column of response rows; higher is better."""
    per: str | None = None
    """Column to divide the score by, such as a count of tokens; a response with 0 there was not judged."""
    preference: str | None = None
    """Column of pair rows: how far response a is preferred over b, from 0 to 1; 0.5 is a tie."""
    consistent: str | None = None
    """Column of pair rows: whether both orders of showing the two responses gave the same verdict."""
    flips: str | None = None
    """The opposite, where a stage keeps that: yes or no, or the share of orders that disagree."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.score is None) == (self.preference is None):
            raise ValueError("give exactly one of 'score' (response rows) and 'preference' (pair rows)")
        if self.per is not None and self.score is None:
            raise ValueError("'per' divides a 'score'; a preference is not divided")
        if self.score is not None and (self.consistent or self.flips):
            raise ValueError("'consistent' and 'flips' go with 'preference': a score does not depend on an order")
        if self.consistent is not None and self.flips is not None:
            raise ValueError("'consistent' and 'flips' say the same; give one of them")
        if self.name == LENGTH:
            raise ValueError(f"'{LENGTH}' is the name of the audit's own annotator; take another")
        return self


class Recipe(_Strict):
    """A whole recipe, as written, before stages and engines are looked up."""

    recipe: Literal[1]
    name: Name
    seed: int = Field(ge=0, lt=2**63)
    engines: dict[Key, dict[str, Any]] = {}
    stages: list[StageSpec] = Field(min_length=1)
    limits: Limits = Limits()
    dataset: DatasetInfo = DatasetInfo()
    audit: list[AnnotatorSpec] = []
    """What `prefmill audit` measures; changes no row."""


def load_recipe(path: Path, overrides: Mapping[str, Json] | None = None) -> Recipe:
    """Read a recipe file and put `--set` values in.

    Args:
        path: the YAML file.
        overrides: dotted path to value, e.g. `stages.pairs.with.min_margin` -> 0.2.

    Raises:
        RecipeError: with file, place, what was seen and what was expected.
    """
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise RecipeError(f"recipe '{path}' cannot be read: {e.strerror}") from None
    value = parse_recipe_text(raw, f"recipe '{path}'")
    for dotted, new in (overrides or {}).items():
        _set(value, dotted, new)
    return validate_recipe(value, str(path))


def load_engines(path: Path) -> dict[str, Json]:
    """Read a file of engines (name to options) as overrides of a recipe's `engines`.

    Raises:
        RecipeError: if it cannot be read or is not a mapping of mappings.
    """
    try:
        value = parse_recipe_text(path.read_bytes(), f"engines file '{path}'")
    except OSError as e:
        raise RecipeError(f"engines file '{path}' cannot be read: {e.strerror}") from None
    for name, options in value.items():
        if not isinstance(options, dict):
            raise RecipeError(f"engines file '{path}': '{name}' holds {_kind(options)}; expected engine options")
    return {f"engines.{name}": options for name, options in value.items()}


def parse_recipe_text(raw: bytes, what: str) -> dict[str, Json]:
    """Parse the YAML bytes of `what` (as messages name it) into a mapping of plain values.

    Raises:
        RecipeError: if it is too large, not UTF-8, not YAML, not a mapping, or holds more than plain values.
    """
    if len(raw) > _MAX_BYTES:
        raise RecipeError(f"{what} has {len(raw):,} bytes; at most {_MAX_BYTES:,} are read")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as e:
        raise RecipeError(f"{what} is not UTF-8 text (byte {e.start})") from None
    value = read_plain_yaml(text, what)
    if not isinstance(value, dict):
        expected = (
            "names with options" if what.startswith("engines") else "'recipe', 'name', 'seed', 'engines', 'stages'"
        )
        raise RecipeError(f"{what} holds {_kind(value)}; expected a mapping with {expected}")
    return value


def validate_recipe(value: Mapping[str, Json], where: str) -> Recipe:
    """Check the shape of a parsed recipe.

    Raises:
        RecipeError: naming each wrong place.
    """
    try:
        recipe = Recipe.model_validate(value)
    except ValidationError as e:
        raise RecipeError(f"recipe '{where}':\n" + explain_validation(e, Recipe)) from None
    seen: set[str] = set()
    for i, stage in enumerate(recipe.stages):
        if stage.id in seen:
            raise RecipeError(
                f"recipe '{where}': stages[{i}].id '{stage.id}' is taken by an earlier stage; "
                "every stage needs an id of its own"
            )
        seen.add(stage.id)
    names = [annotator.name for annotator in recipe.audit]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RecipeError(f"recipe '{where}': audit names two annotators '{twice}'; every one needs a name of its own")
    return recipe


def parse_override(text: str) -> tuple[str, Json]:
    """Read one `--set path=value`; the value is YAML, so `0.2`, `true`, `[a, b]` and `text` all work.

    Raises:
        RecipeError: if there is no `=` or the value is not YAML.
    """
    dotted, sign, value = text.partition("=")
    if not sign or not dotted.strip():
        raise RecipeError(f"--set '{text}': expected path=value, such as stages.pairs.with.min_margin=0.2")
    place = dotted.strip()
    return place, read_plain_yaml(value, f"--set '{text[:200]}': the value", place) if value.strip() else ""


def _set(value: dict[str, Json], dotted: str, new: Json) -> None:
    parts = dotted.split(".")
    here: Any = value
    for depth, part in enumerate(parts[:-1]):
        here = _step(here, part, ".".join(parts[: depth + 1]), dotted)
    if isinstance(here, list):
        raise RecipeError(
            f"--set {dotted}: '{'.'.join(parts[:-1])}' is a list; name one entry's field, such as "
            "stages.<id>.with.<option>"
        )
    if not isinstance(here, dict):
        raise RecipeError(f"--set {dotted}: '{'.'.join(parts[:-1])}' holds {_kind(here)}, not a mapping")
    here[parts[-1]] = new


def _step(here: Any, part: str, so_far: str, dotted: str) -> Any:
    if isinstance(here, list):
        for item in here:
            if isinstance(item, dict) and item.get("id") == part:
                return item
        ids = [str(i.get("id")) for i in here if isinstance(i, dict)]
        raise RecipeError(f"--set {dotted}: '{so_far}' names no entry; ids are {', '.join(ids)}")
    if not isinstance(here, dict):
        raise RecipeError(f"--set {dotted}: '{so_far}' is inside {_kind(here)}, not a mapping")
    nested = here.setdefault(part, {})
    if nested is None:
        nested = here[part] = {}
    return nested


def _kind(value: Any) -> str:
    names = {"NoneType": "nothing", "str": "text", "list": "a list", "dict": "a mapping", "bool": "a yes/no value"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")
