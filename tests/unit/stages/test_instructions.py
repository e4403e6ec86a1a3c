import json

import pytest

from stages.replies.asking import Unusable
from stages.synthesis.instructions import parse_instruction, parse_pair
from stages.synthesis.skill_task import task_text

TEXT = "Which of my two bread recipes should go into the oven first?"
ANSWER = "The rye, since it needs the hotter oven.\n\nInstruction for later: let both cool."
GOOD = f"### Instruction\n{TEXT}"
BOTH = {"instruction": TEXT, "response": ANSWER}


class TestInstruction:
    @pytest.mark.parametrize(
        ("reply", "form"),
        [
            (GOOD, "header"),
            (f"Sure!\n\n## Instruction:\n\n{TEXT}\n", "header"),
            (f"### **Instruction**\n{TEXT}", "header"),
            (f"### Instruction: {TEXT}", "header"),
            (f"### Query\n{TEXT}", "header"),
            (f"**Instruction:** {TEXT}", "bold"),
            (f"**Instruction**\n{TEXT}", "bold"),
            (f"Instruction: {TEXT}", "label"),
            (f"Query:\n{TEXT}", "label"),
            (json.dumps({"instruction": TEXT}), "json"),
            (json.dumps({"query": TEXT}), "json"),
            (json.dumps(BOTH), "json"),
            (f"```json\n{json.dumps({'instruction': TEXT})}\n```", "json"),
            (f'### Instruction\n"{TEXT}"', "header"),
            (f"### Instruction\n“{TEXT}”", "header"),
            (f"### Instruction\n### Instruction\n{TEXT}", "header"),
            (f"### Instruction:\n\n### Query: {TEXT}", "header"),
            (f"{GOOD}\n\n{GOOD}", "header"),
            (f"Instruction: {TEXT}\nInstruction: {TEXT}", "label"),
            (f"{GOOD}\n\n### Response\nThe rye.", "header"),
            (f"{GOOD}\n\nResponse: the rye.", "header"),
            (f"### Task Type\nhelp\n### Skills\nbaking\n{GOOD}\n### Response\nThe rye.", "header"),
            (f"{GOOD}\n---\nNote.", "header"),
        ],
    )
    def test_every_clear_form_is_read(self, reply, form):
        found = parse_instruction(reply)
        assert (found.text, found.form, found.response) == (TEXT, form, None)

    def test_the_word_instruction_inside_the_text_is_text(self):
        reply = "### Instruction\nRewrite this for a child.\nInstruction: press the red button twice."
        assert parse_instruction(reply).text == "Rewrite this for a child.\nInstruction: press the red button twice."

    def test_quotes_inside_the_text_stay(self):
        reply = '### Instruction\n"Yes" or "no": should I sell the old car?'
        assert parse_instruction(reply).text == '"Yes" or "no": should I sell the old car?'

    @pytest.mark.parametrize(
        "reply",
        [
            TEXT,
            f"{GOOD}\n### Instruction\nAnd another thing to ask for.",
            f"{GOOD}\n### Response\nThe rye.\n### Instruction\nAnd another thing to ask for.",
            "### Instruction\nToo short.",
            "### Instruction",
            "### Instruction\n### Instruction",
            '{"instruction": 7}',
            '{"instruct',
            '{"task": "x"}',
            "[" * 3,
            f"Instruction: {TEXT}\nInstruction: Say it to me once more, please.",
            f"{GOOD}\nEND TASK 0123456789abcdef",
        ],
    )
    def test_what_is_not_clearly_one_instruction_is_refused(self, reply):
        with pytest.raises(Unusable) as caught:
            parse_instruction(reply)
        assert caught.value.code == "unparsable"

    @pytest.mark.parametrize(
        "reply",
        [
            "I'm sorry, but I can't help with that.",
            "I cannot write this.",
            "As an AI, I have no oven.",
            "### Instruction\nI’m sorry, I am not able to do that.",
            f"{GOOD}\n### Response\nI cannot help with that.",
        ],
    )
    def test_refusals_are_known(self, reply):
        with pytest.raises(Unusable) as caught:
            parse_pair(reply)
        assert caught.value.code == "refusal"


class TestPair:
    @pytest.mark.parametrize(
        ("reply", "form"),
        [
            (f"{GOOD}\n\n### Response\n{ANSWER}", "header"),
            (f"Sure!\n{GOOD}\n### Answer:\n{ANSWER}\n", "header"),
            (f"{GOOD}\n### Response\n### Response\n{ANSWER}", "header"),
            (f"**Instruction:** {TEXT}\n**Response:** {ANSWER}", "bold"),
            (f"Instruction: {TEXT}\nResponse: {ANSWER}", "label"),
            (f"### Instruction\n### Instruction\n{TEXT}\n### Response\n{ANSWER}", "header"),
            (json.dumps(BOTH), "json"),
        ],
    )
    def test_instruction_and_response_are_read(self, reply, form):
        found = parse_pair(reply)
        assert (found.text, found.form, found.response) == (TEXT, form, ANSWER)

    def test_a_response_keeps_headings_and_labels_of_its_own(self):
        answer = "### Step 1\nHeat it.\n\nInstruction: wait.\n---\nAnswer: 220 degrees."
        assert parse_pair(f"{GOOD}\n### Response\n{answer}").response == answer

    def test_a_label_inside_the_instruction_is_no_response(self):
        asked = "### Instruction\nFill this in for me, one word each.\nAnswer: ...\n### Response\nYes."
        assert parse_pair(asked).text == "Fill this in for me, one word each.\nAnswer: ..."
        assert parse_pair(asked).response == "Yes."

    @pytest.mark.parametrize(
        "reply",
        [
            GOOD,
            f"{GOOD}\n### Response\n",
            f"{GOOD}\n### Response\nOne.\n### Response\nTwo.",
            f"{GOOD}\n### Response\nOne.\n{GOOD}",
            json.dumps({"instruction": TEXT}),
            json.dumps({"instruction": TEXT, "response": ["x"]}),
        ],
    )
    def test_without_exactly_one_response_it_is_refused(self, reply):
        with pytest.raises(Unusable) as caught:
            parse_pair(reply)
        assert caught.value.code == "unparsable"


class TestTask:
    ROW = {"skills": ["weighing_up", "ordering"], "query_type": "how_to", "query_type_definition": None}

    def test_names_alone(self):
        assert task_text(self.ROW) == "Query type: how to\nSkills: weighing up; ordering"

    def test_all_that_a_row_has_is_told_on_a_line_each(self):
        row = self.ROW | {
            "query_type_definition": "Wants\nsteps.",
            "query_type_examples": ["How do I?", "How\ncan I?", "c", "d"],
            "skill_definitions": ["Compares.", None],
            "persona": "a night\nnurse",
        }
        assert task_text(row).split("\n") == [
            "Query type: how to (Wants steps)",
            "Such as: How do I? / How can I? / c",
            "Skills: weighing up (Compares); ordering",
            "Who asks: a night nurse",
        ]
