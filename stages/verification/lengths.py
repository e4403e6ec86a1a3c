"""Hold the length of a response between bounds, in words, characters, sentences, paragraphs or lines."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stages.verification.text_counts import count_sentences, count_words, paragraphs_of
from stages.verification.verdicts import CheckOptions, Verdict, judged

Unit = Literal["words", "characters", "sentences", "paragraphs", "lines"]


class LengthCheck(CheckOptions):
    """Passes where the response has at least `least` and at most `most` of a unit."""

    kind: Literal["length"] = "length"
    unit: Unit = "words"
    """Paragraphs are parted by an empty line; lines count where they hold more than white space."""
    least: int | None = Field(None, ge=0)
    most: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("a check of kind length needs least, most or both")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"a check of kind length has least {self.least} above most {self.most}")
        return self


def length_of(text: str, unit: Unit) -> int:
    """Return how many of a unit a text has; characters are Unicode code points of the text as it is."""
    if unit == "words":
        return count_words(text)
    if unit == "characters":
        return len(text)
    if unit == "sentences":
        return count_sentences(text)
    return len(paragraphs_of(text)) if unit == "paragraphs" else sum(1 for line in text.splitlines() if line.strip())


def within_bounds(text: str, check: LengthCheck) -> Verdict:
    """Return whether a response keeps the bounds."""
    found = length_of(text, check.unit)
    passed = (check.least is None or found >= check.least) and (check.most is None or found <= check.most)
    return judged(passed, f"{found} {check.unit}")
