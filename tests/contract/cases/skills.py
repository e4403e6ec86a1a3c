"""Cases of the stages that make, load, merge and name skills."""

CASES = {
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
