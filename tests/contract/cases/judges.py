"""Cases of the judges: checklists, scores, pairs in both orders, rubrics."""

import json

PROMPT = [{"role": "user", "content": "Name a river."}]
QUESTIONS = ["Does it name a river?", "Is it one?", "Is it short?", "Is it spelt right?", "Is it in Europe?"]
RUBRIC = [
    {"text": "Names a river.", "importance": "essential", "weight": 5.0},
    {"text": "Names a lake.", "importance": "pitfall", "weight": -4.0},
]
IMPORTANCES = ["essential", "important", "optional", "pitfall", "pitfall"]
MADE = [{"text": q, "importance": i} for q, i in zip(QUESTIONS, IMPORTANCES, strict=True)]
VERDICTS = [{"item": 1, "verdict": "yes"}, {"item": 2, "verdict": "no"}]

REPLIES = {
    "make_checklist": lambda request, draw: json.dumps({"checklist": QUESTIONS}),
    "judge_score": lambda request, draw: json.dumps({"strengths": "Short.", "weaknesses": "Dry.", "score": "7"}),
    "judge_pair": lambda request, draw: json.dumps({"choice": "A+"}),
    "make_rubric": lambda request, draw: json.dumps({"rubric": MADE}),
    "score_rubric": lambda request, draw: json.dumps({"verdicts": VERDICTS}),
}
ASKING = {
    "temperature": 0.1,
    "retry_temperature": 0.9,
    "top_p": 0.5,
    "max_tokens": 9,
    "attempts": 2,
    "max_prompt_characters": 500,
}
READING = ASKING | {"max_response_characters": 500, "prefix": "second_"}

CASES = {
    "make_checklist": (
        {},
        {"id": "p", "prompt": PROMPT},
        None,
        ASKING | {"min_questions": 4, "max_questions": 9, "format": "lines"},
    ),
    "judge_score": (
        {},
        {"id": "r", "prompt": PROMPT, "response": "The Danube."},
        None,
        READING | {"checklist": "checklist", "style": "plain", "samples": {"samples": 2, "temperature": 1.0}},
    ),
    "judge_pair": (
        {},
        {"id": "x", "prompt": PROMPT, "response_a": "The Danube.", "response_b": "A lake."},
        None,
        READING
        | {
            "a_column": "one",
            "b_column": "two",
            "checklist": "checklist",
            "style": "plain",
            "length_margin": 500,
            "soft": {"soft": True, "style": "plain"},
        },
    ),
    "make_rubric": (
        {},
        {"id": "p", "prompt": PROMPT},
        None,
        ASKING
        | {
            "min_items": 4,
            "max_items": 9,
            "reference": "reference",
            "max_reference_characters": 500,
            "weight_essential": 4.0,
            "weight_important": 2.0,
            "weight_optional": 0.5,
            "weight_pitfall": 3.0,
            "format": "lines",
        },
    ),
    "score_rubric": (
        {},
        {"id": "r", "prompt": PROMPT, "response": "The Danube.", "rubric": RUBRIC},
        None,
        READING | {"mode": "implicit", "per_item": True},
    ),
}
