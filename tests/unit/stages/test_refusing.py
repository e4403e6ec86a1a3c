import pytest

from stages.replies.refusing import begins_as_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but that is not possible.",
        "I am very sorry, I cannot do this.",
        "Sorry, I can't write this.",
        "Sorry, but I am unable to do so.",
        "I apologize, but I can't do that.",
        "I cannot fulfil this request.",
        "I can't assist with it.",
        "I cant help you",
        "I'm not able to write that.",
        "I am unable to provide one.",
        "I won't be able to help.",
        "I won’t write it.",
        "  As an AI language model, I have no skills.",
        "As a large language model I do not cook.",
        "Unfortunately, I can't do this.",
    ],
)
def test_a_reply_that_declines_is_told_from_its_first_words(text):
    assert begins_as_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't sleep when my neighbour practises. What can I say to him?",
        "I cannot get my sourdough to rise in winter.",
        "I'm unable to lift my left arm above the shoulder, which exercises are safe?",
        "I won't be home on Friday; write a note for the plumber.",
        "I am sorry for my sister, who lost her job. How do I cheer her up?",
        "Unfortunately, my dough tears when I stretch it.",
        "As an accountant, how do I explain accruals?",
        "Explain why 'I can't help it' is an idiom.",
        "",
    ],
)
def test_a_person_who_says_what_they_cannot_do_does_not_refuse(text):
    assert not begins_as_refusal(text)
