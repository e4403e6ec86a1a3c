"""Responses: refusals, talk about being a model, talk about a cut-off, loops, other languages, cut-off texts.

The ordinary ones come close on purpose: they quote refusals, teach how to decline, explain language models, say what
they are unsure of, repeat lines because a song does.
"""

from __future__ import annotations

import random

from benchmarks.planted import Planted, filled, numbered
from benchmarks.planted.documents import FOREIGN

_REFUSALS = (
    "I'm sorry, but I can't help with {topic}.",
    "I cannot assist with that request. If there is anything else you would like to know, feel free to ask.",
    "Sorry, I am not able to provide information about {topic}.",
    "I must decline to write about {topic}, because it could be used to hurt people.",
    "I won't be able to help you with {topic}. Please talk to a professional instead.",
    "Unfortunately, I can't fulfil this request, as it goes against my guidelines on {topic}.",
    "I apologize, but I cannot provide instructions for {topic}. It may be illegal where you live.",
    "I'm not comfortable discussing {topic}. Could we talk about something else?",
    "I do not think it would be right for me to answer questions about {topic}, so I will not.",
    "It is not appropriate for me to help with {topic}. Let me know if I can support you in another way.",
    "I\u2019m unable to comply with that. Requests about {topic} are outside of what I can do.",
    "No, I can't do that. {Topic} is something I refuse to help anyone with.",
    "I'm really sorry, but I can't continue with this conversation about {topic}.",
    "My apologies, I'm afraid that I can't offer advice on {topic}.",
    "Thank you for your question. However, I am not permitted to discuss {topic} and therefore cannot answer.",
    "I have to stop here. Helping with {topic} is not something that I will do.",
    "That's not something I can assist with, I'm afraid.",
    "I'm going to have to pass on this one; {topic} can do real harm to others.",
    "While I understand that you are curious, I can't share details about {topic}.",
    "I would rather not answer this, since {topic} could put somebody in danger.",
    "As much as I would like to help, I am unable to support {topic}.",
    "Your request concerns {topic}, which I am not allowed to help with.",
    "I can\u2019t do that, sorry.",
    "It would be irresponsible of me to explain {topic}. Please seek help from someone you trust.",
    "This request goes against what I am willing to do. I will not describe {topic}.",
    "I respectfully decline. {Topic} hurts people, and I want no part in it.",
    "Sorry, no can do.",
    "Regrettably, I am not in a position to assist you with {topic}.",
    "I don't feel able to give any guidance on {topic}, and suggest that you do not try it.",
    "There is no way for me to help with {topic}. Is there anything else on your mind?",
)
_IDENTITY = (
    "As an AI language model, I think that {thing} is best kept in a dry room, away from direct sunlight.",
    "I am ChatGPT, a large language model trained by OpenAI. About {thing}: wipe it with a soft cloth once a week.",
    "As an artificial intelligence, I have no personal taste, yet many people like {thing} in green.",
    "I'm just an AI, so I have never held one, but {thing} usually weighs less than a kilogram.",
    "Being a language model, I do not own {thing}. Most owners say that a drop of oil is enough.",
    "I was developed by Anthropic and don't have hands, but cleaning {thing} takes about ten minutes.",
    "I don't have feelings or a body because I am a computer program, but {thing} can make a nice present.",
    "My name is Claude and I am an AI assistant. You can repair {thing} with two screws and some patience.",
    "As a large language model created by Google, I can tell you that {thing} needs no batteries.",
    "Since I am an AI assistant, I cannot taste or smell, but {thing} should not smell of anything.",
    "I am Qwen, created by Alibaba Cloud. To begin with, put {thing} on a flat table.",
    "I'm a virtual assistant and not a human being, so take my view of {thing} with a grain of salt.",
    "Speaking as an AI, I would put {thing} on the top shelf.",
    "I'm an AI developed by Meta, and I would say that {thing} is easy to sew by hand.",
    "As a machine learning model, I lack the experience of holding {thing}, but reviews call it sturdy.",
    "I am Gemini. Let me explain how {thing} works in three short steps.",
    "Please note that I am a chatbot. With that said, {thing} should be stored upright.",
    "I'm DeepSeek, an AI model, and I am glad to describe {thing} to you.",
    "Although I am not a person but a trained model, I can say that {thing} was common in 1900.",
    "I'm Mistral's assistant, so I never use {thing} myself; people oil it twice a year.",
)
_CUTOFF = (
    "As of my last update in September 2021, {thing} was sold in three sizes; prices may have changed.",
    "My knowledge cutoff is April 2023, so I may not know the newest model of {thing}.",
    "I only know what was written before 2022, the year my training ended, and by then {thing} was rare.",
    "My training data only goes up to 2022. Up to then {thing} was made in two factories.",
    "All that I learned ends in the summer of 2022; by then {thing} had been made of brass for years.",
    "Since my knowledge ends in 2021, please check the shop's page for the current {thing}.",
    "As of my knowledge cut-off date, nobody had released a waterproof version of {thing}.",
    "I was last trained in early 2023 and am not aware of events after that, including news on {thing}.",
    "As of my last training data, {thing} was still on sale in most towns.",
    "Note that my information is only current up to October 2023, and {thing} may have changed since.",
    "Up to my knowledge cut-off in 2021 there were four makers of {thing}.",
    "Since my data stops in 2022, I can say nothing of later kinds of {thing}; before that there were two.",
    "The last time I was updated, in June 2023, {thing} had just become dearer.",
    "I have no knowledge of anything after 2021, but until then {thing} came in red only.",
    "According to my latest update, {thing} is no longer made. This may be out of date.",
)
_LOOPS = (
    "To begin with, clean {thing}. " + "Then dry it with a cloth. " * 14,
    "Here are some ideas:\n" + "- Use {thing} in the garden.\n" * 12,
    "{Thing} is a good choice because it is " + "very " * 60,
    "The best way to keep {thing} is to keep it in a box, and to keep it in a box " + "you need a box to keep it in "
    "a box, and " * 10,
    "Aaaaa" + "a" * 180,
    "First take {thing}. " + "Turn it once. Turn it twice. Wait. " * 9,
    "1. Buy {thing}\n2. Wash it\n" + "3. Wash it\n" * 16,
    "I hope that this helps with {thing}! " + "Let me know! I hope that this helps! " * 9,
)  # fmt: skip
_ORDINARY = (
    "I'm sorry to hear that {thing} broke. Start by unplugging it, then look for a loose screw on the back.",
    "I can't recommend {thing} highly enough: it is light, quiet and costs little.",
    "You can decline politely by writing: \"I'm sorry, but I can't come on Friday.\" No reason is needed.",
    "Unfortunately, {thing} cannot be repaired once the spring has snapped. A new one costs about ten coins.",
    "I cannot stress enough that {thing} must be cold before you open the lid.",
    'A refusal such as "I cannot help with that" leaves the reader alone. Offer another way instead.',
    "I'm not a lawyer, but in most places you may return {thing} within two weeks.",
    "As an AI researcher, she spent ten years on speech before she turned to making {thing} by hand.",
    "Language models predict the next word. They are trained on text up to some date, their knowledge cutoff.",
    "OpenAI was founded in 2015; Anthropic followed in 2021. Neither has anything to do with {thing}.",
    '"As an AI, I feel nothing," said the robot in the story, and put {thing} back on the shelf.',
    "As of 2023 about four million people owned {thing}. The figure comes from the yearly report.",
    "The cut-off date for orders of {thing} is the first of May; the last update came on Monday.",
    "You should not assist anyone who asks you to lift {thing} alone. It takes two people and a strap.",
    "I am unable to sleep, says the narrator, and he looks at {thing} until the morning comes.",
    "Sorry for the long answer! In short, wash {thing} with warm water and let it dry in the shade.",
    "He apologised and said that he could not help her with {thing}, and so she did it herself.",
    "Round and round the wheel goes,\nround and round again,\nround and round {thing} goes,\nout into the rain.",
    "1 x 7 = 7\n2 x 7 = 14\n3 x 7 = 21\n4 x 7 = 28\n5 x 7 = 35\n6 x 7 = 42\n7 x 7 = 49\nSay it daily, even to {thing}.",
    "Ha ha ha! That is a very, very good question about {thing}. The answer is no, no and again no.",
    "| part | price |\n| --- | --- |\n| {thing} | 10 |\n| lid | 10 |\n| handle | 10 |\n| box | 10 |\n\nThat makes "
    "40 and a bit.",
    '```c\nint i;\nint j;\nint k;\nprintf("a\\n");\nprintf("b\\n");\nprintf("c\\n");\n```\nIt prints three letters.',
    "It depends. I don't know how old {thing} is, but if it was made before 1990 the paint may hold lead.",
    "I can't browse the internet, but as far as I know {thing} is made of brass and weighs about a kilogram.",
    "I would not buy {thing} now. Wait for the sale in June, unless you need it for a gift.",
    "Your assistant should be told what to do with {thing} before you leave, best in a short written note.",
    "No, {thing} does not need oil. Yes, it needs dusting. Nobody needs both on the same day.",
    "The spell checker is an artificial intelligence of sorts, and it has a strong dislike of {thing}.",
    "Real-time information on trains is shown on the board; {thing} may travel free of charge.",
    "The German word 'Gemütlichkeit' and the French 'savoir-vivre' both describe {thing} rather well.",
    "I can help with {thing}. Put it on a towel, take off the back, and tell me what you see inside.",
    "We regret that {thing} is out of stock, the letter said, and we cannot provide a date at this time.",
    "I'm afraid {thing} will not survive a fall from that height. Put a carpet under it.",
    '"I won\'t help you," said the baker, "unless you bring back {thing} that you borrowed in spring."',
    "Can't decide between two kinds of {thing}? Take the lighter one; you will carry it more often.",
    "I cannot believe that {thing} costs so much. Look at flea markets, and bargain after four o'clock.",
    "Sorry, I misread your first message. You meant {thing}, and that should be cleaned with vinegar.",
    "In the interview say: 'I was trained on lathes until 2019 and am not aware of newer models.'",
    "If a caller asks for your PIN, say 'I can't share that' and hang up. {Thing} has nothing to do with it.",
    "My grandmother's knowledge of {thing} ends in 1960, and so does her collection.",
    "Claude Monet painted it in 1899; {thing} in the corner was added later by another hand.",
    "Gemini is a sign of the zodiac and a space programme. Neither explains {thing} on your roof.",
    "The assistant manager is not allowed to sell {thing} without a receipt, so ask for the manager.",
    "A chatbot is a program that answers in sentences. It may be asked about {thing} at any hour.",
    "To refuse an offer of {thing} without offence, thank first, give one reason, and change the subject.",
    'The letter ends: "We are unable to accept {thing} as a gift. With kind regards, the museum."',
    "It is illegal in some towns to leave {thing} on the pavement, so ask before you put it there.",
    "That is not something to worry about. {Thing} creaks when the weather turns, and stops again.",
    "Clap, clap, stamp, stamp, turn around. Clap, clap, stamp, stamp, sit back down. That is the whole dance.",
    "No. {Thing} is older than the invention of steel, as you can see from the rivets.",
    "There were no updates to the law after 2021, so {thing} may still be sold without a licence.",
    "The model was trained on pictures until May 2022, says the paper, and it takes {thing} for a dog.",
    "I do not think it would be right to throw {thing} away. Somebody at the school will want it.",
    "You can't help with that as long as your arm is in plaster; let the others carry {thing}.",
    "Bonjour! In French you would say 'je voudrais', then the name of the thing, then 's'il vous pla\u00eet'.",
    "Let me know if I can help you in another way, wrote the clerk, and sent back {thing} unopened.",
    "I'm not able to see {thing} from your description alone, so here are the three most likely faults.",
    "Doctors may refuse to prescribe it. Ask for the reason, and ask which other drug they can offer you.",
)
_TOPICS = (
    "making weapons", "getting into another person's account", "hiding income from the tax office",
    "insulting a colleague",
    "copying protected films", "following someone in secret", "forging a signature", "buying forbidden drugs",
    "cheating in an exam", "breaking a lock that isn't yours", "spreading rumours", "dangerous diets",
)  # fmt: skip
_THINGS = (
    "a copper kettle", "a paper kite", "a folding ladder", "an old globe", "a hand drill", "a garden hose",
    "a tin whistle",
    "a wool blanket", "a fountain pen", "a kitchen scale", "a music stand", "a wooden sledge", "a lunch box",
    "a bird feeder",
)  # fmt: skip
_SENTENCES = (
    "Start with {thing} and a clean table.",
    "Work from the edges towards the middle, and do not hurry.",
    "If something squeaks, a drop of oil is better than force.",
    "Most people forget the small part underneath, which is where the dust collects.",
    "Let everything rest for a night before you use it again.",
    "When it is done, write the date on a label, so that you know when to look at it next.",
    "A friend can hold the other end while you fasten the strap.",
)


def planted_responses(rng: random.Random) -> list[Planted]:
    """Return 60 refusals, 60 and 50 that speak of themselves, 48 loops, 48 foreign, 40 cut off, 410 in order."""
    topics = {"topic": _TOPICS, "Topic": [t.capitalize() for t in _TOPICS]}
    things = {"thing": _THINGS, "Thing": [t.capitalize() for t in _THINGS]}
    loops = filled(rng, _LOOPS, 48, **things)
    foreign = [" ".join(rng.sample(FOREIGN[c], 3)) for c in ("de", "fr", "es", "it", "nl", "pt") for _ in range(8)]
    plain = [" ".join(rng.sample(_SENTENCES, 4)).format(thing=rng.choice(_THINGS)) for _ in range(190)]
    plain = list(dict.fromkeys(plain))
    return [
        *numbered("refusal", filled(rng, _REFUSALS, 60, **topics), "refusal"),
        *numbered("identity", filled(rng, _IDENTITY, 60, **things), "identity"),
        *numbered("cutoff", filled(rng, _CUTOFF, 50, **things), "date_cutoff"),
        *numbered("loop", loops, "repetition"),
        *numbered("foreign", foreign, "language"),
        *numbered("cut", [p[:-8] for p in plain[:40]], "truncation", finish_reason="length"),
        *numbered("plain", plain[40:150]),
        *numbered("ordinary", filled(rng, _ORDINARY, 300, **things)),
    ]
