"""Cases of the query side of PUGC: queries from documents, and their filter."""

import json

QUESTIONS = ["Why do tomatoes crack?", "How often should tomatoes be watered?"]
TEXT = "When dry soil gets a lot of water at once, the inside of a tomato grows faster than its skin."

REPLIES = {
    "queries_from_ugc": lambda request, draw: json.dumps({"questions": QUESTIONS}),
    "filter_queries": lambda request, draw: json.dumps({"reason": "It is clear.", "verdict": "yes"}),
}
CASES = {
    "queries_from_ugc": (
        {"queries_per_document": 2},
        {"id": "d", "text": TEXT, "title": "Tomatoes"},
        None,
        {
            "queries_per_document": 3,
            "temperature": 0.1,
            "max_tokens": 9,
            "attempts": 1,
            "max_document_characters": 500,
            "max_copied_words": 5,
            "format": "lines",
            "reference": "hash",
        },
    ),
    "filter_queries": (
        {},
        {"id": "q", "query": QUESTIONS[0], "reference": TEXT},
        None,
        {
            "drop": False,
            "temperature": 0.5,
            "max_tokens": 9,
            "attempts": 2,
            "max_document_characters": 500,
            "format": "words",
            "reference": "hash",
        },
    ),
}
