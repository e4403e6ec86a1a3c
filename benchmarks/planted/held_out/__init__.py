"""A second set of texts with known faults, held out: written after the filters were finished, not used to change them.

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
    """Return 475 documents with and without boilerplate, other languages and personal data."""
    modules = (boilerplate, ordinary_documents, languages, personal_data, nothing_personal)
    return [item for module in modules for item in module.ITEMS]


def held_out_responses() -> list[Planted]:
    """Return 280 responses, 130 of them with a fault."""
    modules = (responses, repetition, ordinary_responses)
    return [item for module in modules for item in module.ITEMS]
