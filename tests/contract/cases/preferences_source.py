"""Cases of the source of labelled responses."""

import json

RECORD = {"prompt": "Name a river.", "response_a": "The Danube.", "response_b": "A stone.", "label": "a"}
FILES = {"labelled.jsonl": json.dumps(RECORD) + "\n"}

CASES = {
    "load_preferences": (
        {"path": "labelled.jsonl"},
        [],
        None,
        {
            "path": "other.jsonl",
            "format": "pairs",
            "rows": "pairs",
            "subsets": ["labelled"],
            "half": "first",
            "fold": "1/2",
            "id_column": "key",
            "seed": 1,
            "base_folder": "elsewhere",
        },
    ),
}
