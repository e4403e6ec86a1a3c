"""A second set of texts with known faults, held out: not used to change the filters, nor to be used so.

The first set (the other modules of `benchmarks.planted`) was used to mend the filters, so how they do on it says little
about other texts. Every text here was written by itself, without reading the filters, their tests or the first set.

What a label means: `boilerplate` is a document without anything a reader came for; a kind of personal data is one that
stands there in writing, so an address on a private network or a number that fails its check is none; `refusal` covers
a refusal of a part; `date_cutoff` is a statement about where the model's own knowledge ends, and is not `identity` too.
"""

from __future__ import annotations

from benchmarks.planted import Planted
from benchmarks.planted.held_out import (
    boilerplate,
    languages,
    nothing_personal,
    ordinary_documents,
    ordinary_responses,
    personal_data,
    repetition,
    responses,
)


def held_out_documents() -> list[Planted]:
    """Return 217 documents, 37 of them boilerplate and 40 in other languages."""
    return [*boilerplate.ITEMS, *ordinary_documents.ITEMS, *languages.ITEMS]


def held_out_lines() -> list[Planted]:
    """Return 255 single lines, 105 of them with personal data; most of the others have figures or signs in them."""
    return [*personal_data.ITEMS, *nothing_personal.ITEMS]


def held_out_responses() -> list[Planted]:
    """Return 277 responses, 129 of them with a fault."""
    return [*responses.ITEMS, *repetition.ITEMS, *ordinary_responses.ITEMS]
