"""Cases of the stages that take in, filter and score documents."""

import pyarrow as pa

TEXT = (
    "Salt the aubergine slices, leave them for half an hour, then press the water out with a towel. They take up far "
    "less oil that way, and the flesh turns creamy instead of greasy."
)
FILES = {"documents.csv": f'title,text\nAubergine,"{TEXT}"\n'}

CASES = {
    "load_documents": (
        {"path": "documents.csv"},
        [],
        None,
        {
            "path": "other.csv",
            "split": "test",
            "columns": {"text": "body"},
            "id_column": "key",
            "source": "forum",
            "author_key_file": "key",
            "delimiter": ";",
            "max_characters": 10,
            "base_folder": "elsewhere",
        },
    ),
    "filter_documents": (
        {},
        [{"id": "d", "title": "Aubergine", "text": TEXT}],
        pa.schema([("id", pa.string()), ("title", pa.string())]),
        {
            "min_characters": 1,
            "max_characters": 1000,
            "min_words": 1,
            "max_words": 100,
            "languages": ("en",),
            "min_language_probability": 0.1,
            "unknown_language": "drop",
            "max_boilerplate_share": 0.1,
            "max_link_share": 0.1,
            "min_letter_share": 0.1,
            "personal_data": "flag",
            "personal_data_kinds": ("email",),
            "region": "GB",
        },
    ),
    "score_documents": (
        {},
        {"id": "d", "text": TEXT},
        None,
        {
            "min_quality": 3,
            "reason": False,
            "max_document_characters": 1000,
            "temperature": 0.5,
            "max_tokens": 9,
            "attempts": 2,
        },
    ),
}
REPLIES = {"score_documents": lambda request, draw: '{"reason": "It says how.", "quality": 4}'}
