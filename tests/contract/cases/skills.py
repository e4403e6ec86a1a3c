"""Cases of the stages that make, load, merge and name skills."""

FILES = {"skills.txt": "weighing trade-offs\n"}


def named(kind, *names):
    """Return rows of one kind."""
    return [
        {"id": f"{kind[0]}{i}", "kind": kind, "name": n, "raw": n, "topic": None, "definition": None, "examples": []}
        for i, n in enumerate(names)
    ]


CASES = {
    "load_skills": (
        {"files": "skills.txt"},
        [],
        None,
        {"files": [{"path": "skills.txt", "kind": "persona"}], "base_folder": "elsewhere"},
    ),
    "name_skills": (
        {},
        {
            "id": "c",
            "kind": "skill",
            "name": "weighing",
            "member_names": ["weighing", "weighings"],
            "member_similarity": [1.0, 0.8],
        },
        None,
        {
            "fallback": "reject",
            "members_shown": 2,
            "format": "lines",
            "temperature": 0.1,
            "max_tokens": 9,
            "attempts": 2,
        },
    ),
    "merge_skills": (
        {},
        [*named("skill", "weighing_trade_offs", "weighing_trade_off", "sequencing"), *named("query_type", "how_to")],
        None,
        {"similarity": "embedding", "threshold": 0.8, "ngram": 4},
    ),
    "extract_skills": (
        {},
        {"id": "d", "domain": "gardening"},
        None,
        {
            "route": "data",
            "topics": 2,
            "skills_per_topic": 2,
            "query_types": 2,
            "target_skills": 9,
            "max_rounds": 2,
            "min_new": 2,
            "response_column": {"route": "data", "response_column": "output"},
            "skills_per_row": {"route": "data", "skills_per_row": 2},
            "format": "lines",
            "temperature": 0.1,
            "max_tokens": 9,
            "attempts": 1,
        },
    ),
}
