"""Cases of the stages that look for duplicates and for items of benchmarks."""

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
    "embed_texts": ({}, {"id": "a", "prompt": PROMPT}, None, {"column": "text"}),
}
