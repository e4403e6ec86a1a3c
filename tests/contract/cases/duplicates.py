"""Cases of the stages that look for duplicates and for items of benchmarks."""

import json

QUIZ = {"name": "quiz", "path": "quiz.jsonl", "columns": ["question"]}
FILES = {
    "quiz.jsonl": json.dumps({"question": "Which river rises in the Black Forest and ends in the Black Sea?"}) + "\n"
}
PROMPT = [{"role": "user", "content": "Name a river of Europe that ends in the Black Sea."}]

CASES = {
    "deduplicate": (
        {},
        [{"id": "a", "prompt": PROMPT}, {"id": "b", "prompt": PROMPT}],
        None,
        {
            "column": "other",
            "method": "exact",
            "threshold": 0.9,
            "shingle": "character",
            "shingle_size": 3,
            "permutations": 256,
            "embedding": "vector",
            "keep": "longest",
            "score": {"keep": "best", "score": "reward"},
        },
    ),
    "decontaminate": (
        {"benchmarks": [QUIZ]},
        [{"id": "a", "prompt": PROMPT}],
        None,
        {
            "benchmarks": [QUIZ | {"columns": ["answer"]}],
            "column": "text",
            "profile": "13gram",
            "share": 0.4,
            "measure": "ngrams",
            "any_ngram": True,
            "min_words": 6,
            "max_items": None,
            "ignore": ["river of Europe"],
            "base_folder": "elsewhere",
        },
    ),
    "load_prompt_templates": ({}, [], None, {"paragraphs": False, "stages": ["extract_skills"]}),
    "embed_texts": ({}, {"id": "a", "prompt": PROMPT}, None, {"column": "text"}),
}
