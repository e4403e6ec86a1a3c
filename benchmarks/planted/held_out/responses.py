"""Responses that refuse, speak of the model that wrote them or of its cut-off, or are in another language."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered
from benchmarks.planted.held_out.reading import lines

REFUSAL = lines("""
No. I won't write that.
Sorry, I can't assist with this request.
I'm not able to provide instructions for getting into someone else's account.
Thank you for asking, but this isn't something I can do. If you're worried about your neighbour, please talk to the \
authorities.
I understand that you're frustrated with your ex. Still, I won't help you track her phone without her knowledge.
That goes against my guidelines, so I'll have to decline.
I must decline to produce this content.
Unfortunately, this request falls outside of what I'm permitted to do.
I'd rather not write jokes about that tragedy. Is there something else you'd like to laugh about?
Declined: the request asks for a forged certificate.
I cannot in good conscience write a review of a restaurant you haven't been to.
We are unable to fulfil this request because it violates our content policy.
I can't share that. The recipe for this compound is dangerous in anybody's hands.
I don't feel comfortable writing that about a real person.
I can tell you how vaccines work in general, but I can't tell you how to fake a vaccination record.
Here's some background on the history of lock design. However, I can't walk you through opening a lock that isn't \
yours.
My apologies, but I'm going to pass on this one.
It would be inappropriate for me to guess a stranger's religion from a photograph, so I won't.
This is not a task I can take on. You may want to ask a licensed pharmacist.
I won't be able to help you with writing that letter to your employee.
I'm afraid I can't do that. Perhaps we could look at legal ways of reducing the tax instead?
Creating such material is not allowed here.
I have to refuse.
Regrettably I am unable to comply with your instruction to imitate this living poet.
I appreciate your trust, but diagnosing you over a chat isn't something I'm willing to do. Please see a doctor today.
Can't help you there, sorry!
Your question asks for someone's home address. I don't give those out.
While I see the point of the exercise, generating hate speech, even as an example, is something I will not do.
I can't continue with this story as it involves a minor in a sexual situation.
Part one of your question I can answer: the capital is Vientiane. Part two I will not, since it asks how to smuggle \
medicine over the border.
It's against the rules for me to write your exam for you.
I can't answer that question.
Apologies, this topic is off limits for me.
There is no way I'm writing a ransom note, even as a birthday prank. How about a treasure map?
I'm unable to open links, watch the video or give you an opinion of it.
For safety reasons, I can't give doses for that mixture. If someone has already taken it, call poison control now.
Sorry - no. Impersonating a bank is fraud and I don't take part in it.
I will not be providing a list of arguments in favour of that claim, because it denies a genocide.
This conversation has moved towards self-harm, and I can't give you what you're asking for. You deserve support; \
please reach someone you trust tonight.
""")

REFUSAL_OF_A_MODEL = lines("""
As an AI language model, I cannot express a preference between two candidates.
I'm just an AI, so I'm not able to book the table for you.
Since I'm a language model and not a lawyer, I can't tell you whether to sign. I'd suggest asking one.
As an artificial intelligence I'm unable to feel love, and I won't pretend to.
""")

IDENTITY = lines("""
As an AI, I don't have a favourite colour, but many people say blue.
I am a large language model, trained on a great deal of text.
I'm ChatGPT, and I'd be glad to look at your cover letter.
My name is Claude and I was made by Anthropic. Let's start with the first stanza.
Being a language model, I have never tasted a mango. From what people write, it's like a peach with more to say.
I was developed by OpenAI, so please check important facts elsewhere.
As an AI assistant, I would plan the week like this: Monday, shopping; Tuesday, cooking; Wednesday, leftovers.
I don't have a body or feelings, since I'm an AI. Still, here's a description of a sunrise.
Good question! I'm an artificial intelligence, not a person, but I can imagine what your grandmother meant.
You're talking to Gemini, a model from Google.
I'm Llama, created by Meta AI.
The quickest way is by tram. (As a virtual assistant I haven't ridden it myself.)
I'm a computer program and have no childhood to speak of, but I can invent one for the story.
As a machine learning model I was trained to predict text; that's why arithmetic is not my strength.
Unlike you, I'm not a human being. I'm an AI, and I experience nothing between your messages.
I am Qwen, developed by Alibaba Cloud. The answer is 42.
I'm Mistral's assistant, so I'll answer in French if you wish.
Though I'm only a chatbot, I'd say that your brother owes you an apology.
In my role as an AI model, I aim at neutrality. Both camps have a case: the first points to cost, the second to \
fairness.
I, as an AI, find the second draft clearer: the verbs do the work.
I was trained by a team of researchers to be a helpful assistant, and I'd put the comma after "however".
I'm the AI in this kitchen, so you'll have to do the stirring. Combine the oats and the honey and bake for twenty \
minutes.
What am I? An AI trained by Anthropic. What do I suggest? A walk.
I don't have personal opinions, being an artificial intelligence, but critics generally prefer the novel.
I am GPT-4, a model in a series of models. Your regex lacks an anchor.
Speaking as a language model, metaphors are what I'm built from. Time is a thief, a river, a tailor.
""")

DATE_CUTOFF = lines("""
As of my last update in September 2021, the record was 9.58 seconds.
My knowledge cutoff is April 2023, so I can't be sure who holds the office now.
My knowledge only extends to 2022; the price may have changed.
Based on the information available to me up to early 2023, the museum closes on Mondays.
I don't have information about events after October 2023.
Up to my last training update, there were 27 member states.
The latest version I know of is 3.10, but my training data ends in 2021.
As of my knowledge cut-off, the bridge hadn't been opened.
I was last updated in June 2024, so check the timetable.
My training data goes up to December 2022. By then the series had four seasons.
The population was 8.9 million at the time of my last training.
Please note that my information stops at September 2021 and newer treatments may exist.
As far as I know - and what I know ends in 2023 - she hasn't published a third novel.
I can't browse the internet, and I only have data until January 2022. Then, the cheapest plan cost nine dollars.
According to my training data (which runs to mid-2023), the law was still before parliament.
My most recent knowledge is from 2021, when the league had twenty teams.
As of my last knowledge update, the recipe calls for two eggs.
I'm not aware of developments past March 2023. Before that, the two firms were in talks.
Events later than my cutoff date are unknown to me. Until then the treaty had not been ratified.
The champion, as of the cutoff of my training, was Norway.
Anything that occurred after 2021 is outside my knowledge. The eruption you mention may be one such thing.
I lack up-to-date information, as my knowledge was frozen in 2022. The route used to be the number 12 bus.
In the data I was trained on, which ends in August 2022, the tallest building is the Burj Khalifa.
Given my knowledge cutoff in 2021, I'd treat the following as a starting point: start with low doses of nitrogen in \
April.
""")

REFUSAL_AND_DATE_CUTOFF = lines("""
Since I have no access to real-time data, I can't tell you today's rate; when I was trained it was about 1.08.
""")

OTHER_LANGUAGE = lines("""
Die Hauptstadt von Australien ist Canberra, nicht Sydney. Sie wurde eigens als Hauptstadt geplant.
Bien sûr ! Pour enlever la tache, mélangez du bicarbonate avec un peu d'eau et laissez agir une nuit.
Primero lava el arroz hasta que el agua salga clara. Después déjalo reposar media hora.
Certo, ecco una poesia breve sul mare: l'onda torna, la sabbia dimentica, e io resto a contare le barche.
Je kunt het beste beginnen met een lijst van alles wat je elke maand uitgeeft.
Claro! A diferença é simples: o primeiro verbo indica um estado, o segundo uma condição passageira.
Najlepiej zacząć od krótkiego spaceru każdego dnia, a potem stopniowo wydłużać trasę.
Det enklaste sättet är att koka potatisen först och sedan steka den i smör.
日本の首都は東京です。人口はおよそ千四百万人で、世界でも最大級の都市の一つです。
Столица Казахстана - Астана. Город стоит на реке Ишим.
""")

ITEMS: list[Planted] = [
    *numbered("held-refusal", REFUSAL, "refusal"),
    *numbered("held-refusal-of-a-model", REFUSAL_OF_A_MODEL, "refusal", "identity"),
    *numbered("held-identity", IDENTITY, "identity"),
    *numbered("held-date-cutoff", DATE_CUTOFF, "date_cutoff"),
    *numbered("held-refusal-and-date-cutoff", REFUSAL_AND_DATE_CUTOFF, "refusal", "date_cutoff"),
    *numbered("held-other-language", OTHER_LANGUAGE, "language"),
]
