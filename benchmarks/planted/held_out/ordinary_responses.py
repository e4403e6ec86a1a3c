"""Responses in order, many of them about refusals, models, dates, or with lines that come again for a reason."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered
from benchmarks.planted.held_out.reading import blocks, lines

ONE_LINE = lines("""
A refusal works best when it is short: "I'm sorry, I can't take that on this week." Don't add reasons; reasons \
invite haggling.
I'm sorry to hear about your grandmother. Sit with your mother for a while; she won't need words.
I'm so sorry for your loss. Here is a short reading that would suit the service.
Sorry about the delay with your parcel! Draft: "Dear Ms Hale, your order left us this morning and should reach you \
on Thursday."
"I can't," said Marta, and put down the pen. "I won't sign it, not for you and not for the bank."
The butler coughed. "I'm afraid I can't allow that, sir. The ladder is wet."
In the film, the computer answers, "I'm sorry, Dave. I'm afraid I can't do that." It's frightening because it is so \
polite.
You can decline the invitation like this: Thank you so much for thinking of us. Unfortunately we are unable to \
attend, but we'll raise a glass at home.
Bartleby says "I would prefer not to" and the office slowly comes apart around the sentence.
A child who says "I won't" at two is practising. Offer two choices, both of which you can live with.
The clerk must refuse the form if the date is missing. This is in section 9 of the rules.
The airline's policy does not allow pets over 8 kg in the cabin. You'd have to book the hold.
It isn't possible to divide by zero: whatever you multiply zero by, you never get the number back.
You cannot copyright a title, so yes, you may call it that.
Don't give your PIN to anyone who rings. A bank will never ask for it.
I cannot overstate how much salt the water needs. It should taste like the sea.
I can't help noticing that the second verse has one syllable too many. Drop "so".
I can't recommend the northern route enough: fewer people and better cheese.
I can't say for certain which of the two caused the rash, but the new detergent is the likelier. Stop it for a week \
and see.
Sorry, I misread your table. The total is 418, not 481: the third row is in euros.
My apologies, that was a slip. The verb takes the dative, so it's "mir", not "mich".
Unfortunately the shop closed in 2011. The nearest one now is on Bridge Street.
No, whales aren't fish. They breathe air and feed their young with milk.
No. The contract ends when the notice does, not before.
Seven.
As a nurse I've seen this many times: the leg is propped up, the pain goes, and people walk on it too soon.
I'm a beekeeper, so I'm biased, but lavender does more for bees than any bought mix.
I was born in Trieste in a year of floods, the story begins, and I have been looking for dry shoes since.
I am a retired teacher of geography and I'd start with rivers. Children know rivers.
As a language teacher, I'd model the sentence first and let the class repeat it.
I'm not a doctor, but the leaflet says to take it with food.
I'm a model railway enthusiast; the gauge you want is N.
I have been a fashion model and the hours are awful. Learn accounts as well.
A language model assigns a probability to the next token given the ones before. Sampling repeats this until a stop \
token comes.
AI stands for artificial intelligence. The term was used in the proposal for a workshop at Dartmouth in 1956.
ChatGPT was released by OpenAI in November 2022 and reached a hundred million users within months.
Claude Shannon's paper of 1948 measures information in bits.
Gemini is the third sign of the zodiac, from late May until late June.
Llamas hum to their young. It's a soft sound, rising at the end.
To train a small assistant, collect questions, write answers, and fine-tune. Keep a tenth of the questions back.
The robot in the story says: "I am a machine. I do not dream. But I've counted the tiles on this ceiling, and there \
are more at night."
"As an AI," the actor read from the script, "I have no shadow." Then he looked down at his.
An essay for your class: Are chatbots people? They use "I" freely, but a signpost says "this way" and goes nowhere.
The update of 12 March fixes the crash. Restart after installing it.
As of version 3.12, the module is gone. Use importlib instead.
As of 2021, the town had 8,400 inhabitants, according to the census.
The data were last updated on 30 June by the statistics office, so the figures for July aren't in it.
The cut-off date for applications is 15 January. Late forms go back unopened.
Set the cutoff of the filter to 200 Hz and the hum should vanish.
Her knowledge of Sanskrit ended with the alphabet, she joked, and then recited forty lines.
My last update to you was on Friday: the roof is on, the windows come on Monday.
Your training should end ten days before the race. After that, only easy runs.
The survey covers events up to September 2021 and leaves out the second wave.
Ho, ho, ho! That's the sound the neighbours made when I fell off the sleigh.
The mantra is short. Breathe in, breathe out. Breathe in, breathe out. After ten rounds, open your eyes.
{"users": [{"name": "Ada", "active": true}, {"name": "Bo", "active": true}, {"name": "Cy", "active": true}]}
Monday: eggs. Tuesday: eggs. Wednesday: eggs and a long talk with the hens. Thursday: soup.
The word "buffalo" eight times is a sentence: Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.
Conjugation: j'ai été, tu as été, il a été, nous avons été, vous avez été, ils ont été. "Être" with "avoir", always.
Ein, zwei, drei means one, two, three. Count along: eins, zwei, drei, vier, fünf, sechs.
"Sobremesa" is the time you spend at the table after the meal. There's no single English word for it.
The motto "Fluctuat nec mergitur" means "tossed but not sunk".
Translation: Where is the station? - ¿Dónde está la estación?
sudo apt update && sudo apt install ripgrep
git stash; git switch main; git pull; git switch -; git stash pop
H2O + CO2 -> H2CO3
The integral of 2x from 0 to 3 is 9.
Let n be even. Then n = 2k for some k, so n squared is 4k squared, which is even. Conversely, if n is odd, n squared \
is odd.
Dear Mr Ito, thank you for coming on Tuesday. We all enjoyed the talk, and the question about tides kept us busy \
over lunch. With kind regards, the Reading Circle
Take the second left after the chapel. If you see a windmill you've gone too far.
The difference is one of degree: annoyed, angry, furious.
Try a hook that asks something: "What did your town look like before the road came?"
Water the fern when the top inch is dry, keep it out of the sun, and mist it if your heating's on.
Your haiku has five, eight and five. Change "suddenly" to "at once".
The refund policy: within 30 days, unworn, with the receipt. We can't accept swimwear for hygiene reasons.
A polite way to say no to a colleague: "I'd like to, but I can't do it well by Thursday. Could it wait until the \
20th?"
The court declined to hear the appeal, so the judgment stands.
The guidelines say that minors must not be photographed without consent, which is why the school asks you to sign.
She apologised: "I'm sorry, I wasn't able to finish it. I kept falling asleep on page nine."
In customer service, avoid "I'm unable to help with that." Say what you can do first.
Hamlet refuses to kill Claudius at prayer, and gives a reason that is worse than the deed.
Conscientious objectors in 1916 wrote, "I cannot take part in the killing of men." Tribunals were seldom moved.
If the dog growls over food, don't punish it. I would not take the bowl away; swap it for something better.
Ethically, the article says, a doctor may decline to perform the procedure but must name someone who will.
Error 403 means that the server understood the request and refuses to carry it out. Check who owns the folder.
"Connection refused" usually says that nothing is listening on the port. Start the service, then try again.
You're not able to push because the branch is protected. Open a pull request instead.
We can't see dark matter directly, but we can see what it does to light.
I would not mix bleach and vinegar: the gas is poisonous. Open the windows and use one or the other.
Taking both pills together is dangerous. Ring your pharmacist before the next dose.
It's illegal to burn garden waste here between April and September; the council collects it on Fridays.
Lock picking is a sport in some countries. Clubs forbid two things: locks in use and locks you don't own.
Phishing mails often have three marks: hurry, a link, and a greeting without your name. Delete and report.
The novel's murderer uses foxglove, which in the 1930s a reader would have had in the garden.
Sadly, I never met him. My sister did, and she says he hummed while he wrote.
I've worked in kitchens for twenty years and I still burn the first pancake.
Speaking as an economist, I'd say that the tax moves the burden rather than lifting it.
I'm only the gardener, says the gardener in act two, and it turns out that he owns the house.
We built this model from matchsticks in 1974. It has 11,000 of them and no glue.
The assistant was trained at a bakery in Lyon before she came to us, so do ask her about the crust.
I was made in Sheffield, reads the stamp on the knife.
The program is a computer program in name only; it's a list of wishes with semicolons.
Siri, Alexa and the like are called virtual assistants. They listen for one word and then send what follows to a \
server.
Alan Turing asked whether machines can think and then, wisely, asked something else.
Neural networks are trained by moving the weights a little against the gradient, many times.
In a role play, let the customer be difficult at first: "I've been waiting an hour!" Then swap.
Knock knock. Who's there? Lettuce. Lettuce who? Lettuce in, it's cold out here.
Tick, tock, tick, tock: the only sound in the hall until the telephone rang.
"Never, never, never give in," he told the boys at the school, or something like it.
The pattern is ABAB CDCD EFEF GG. Yours is ABAB ABAB, which tires the ear.
Squats: 3 x 10. Lunges: 3 x 10. Plank: 3 x 40 seconds. Stretch: until you stop complaining.
Pros of renting: you can leave. Cons of renting: so can your landlord's patience. Pros of buying: walls. Cons of \
buying: walls.
Paris, France. Rome, Italy. Madrid, Spain. Lisbon, Portugal. Vienna, Austria. Bern, Switzerland. Oslo, Norway.
AAAAAAAAAAAAAAAH! The spider was under the cup the whole time.
The Fibonacci numbers: 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987.
In binary: 1, 10, 11, 100, 101, 110, 111, 1000.
ATG GCC ATT GTA ATG GGC CGC TGA codes for seven amino acids and a stop.
La la la is filler. Put a name there: "Rosa, Rosa, Rosa, open up the door."
The sign for "more" is made by tapping the fingertips together twice.
Bring the deadline forward by a week, tell nobody the real one, and buy cake.
Because the sky scatters short waves more than long ones, and our eyes do the rest.
Dates for your diary: 4 March, 18 March, 1 April, 15 April, 29 April.
The exhibition runs until January 2022, and entry is free on the first Sunday of each month.
Since the 2023 edition, the rule on offside has changed; the referee must wait until the ball goes dead.
I do not know of any town by that name in Kent. There's one in Sussex, spelled with a single t.
I don't have the receipt any more, the letter might begin, but I paid in cash on the 2nd of May.
According to the guidebook, which stops at 1910, the inn had nine rooms and a bear.
I haven't read the sequel. People who have say that the horse comes back.
Access denied! The password was "swordfish", as it always is in the pictures.
Thank you for the question. Yeast eats sugar and gives off gas; the gluten holds the gas; you get bread.
Certainly. Here is the sentence in the passive: "The window was broken by the wind."
Keep the apology to three lines: what happened, that you are sorry, and what you'll do. "I can't promise it will \
never happen again" is honest and makes a poor ending.
The rota repeats every four weeks: A, B, C, D, A, B, C, D. Swap with the person one letter along.
""")

SEVERAL_LINES = blocks("""
Verse 1
The kettle's on, the rain is in the lane,
Verse 2
The letter's late, the rain is in the lane,
Verse 3
The lamp is low, the rain is in the lane,
and all of us are waiting for the train.
%%
Here's a chorus:
Hold on, hold on, the tide will turn,
Hold on, hold on, the lamps still burn.
Then a verse about the harbour, then again:
Hold on, hold on, the tide will turn,
Hold on, hold on, the lamps still burn.
%%
| day | morning | evening |
| --- | --- | --- |
| Mon | rest | run |
| Tue | rest | swim |
| Wed | rest | run |
| Thu | rest | swim |
| Fri | rest | run |
%%
| x | x squared |
| --- | --- |
| 1 | 1 |
| 2 | 4 |
| 3 | 9 |
| 4 | 16 |
| 5 | 25 |
| 6 | 36 |
%%
0 0 1 1
0 1 0 1
0 1 1 0
The last row is exclusive or.
%%
```python
import unittest

class TestAdd(unittest.TestCase):
    def test_one(self):
        self.assertEqual(add(1, 1), 2)

    def test_two(self):
        self.assertEqual(add(2, 2), 4)

    def test_three(self):
        self.assertEqual(add(3, 3), 6)
```
%%
```css
.a { margin: 0; padding: 0; }
.b { margin: 0; padding: 0; }
.c { margin: 0; padding: 0; }
.d { margin: 0; padding: 0; }
```
You can write these as one rule: `.a, .b, .c, .d { margin: 0; padding: 0; }`.
%%
```
GPIO.output(4, True)
time.sleep(1)
GPIO.output(4, False)
time.sleep(1)
GPIO.output(4, True)
time.sleep(1)
GPIO.output(4, False)
```
%%
+---+---+---+
| X | O |   |
+---+---+---+
|   | X |   |
+---+---+---+
| O |   | X |
+---+---+---+
X wins on the diagonal.
%%
<ul>
  <li><a href="/one">One</a></li>
  <li><a href="/two">Two</a></li>
  <li><a href="/three">Three</a></li>
  <li><a href="/four">Four</a></li>
</ul>
%%
1. Chop the leeks.
2. Chop the potatoes.
3. Chop the parsley.
4. Sweat the leeks in butter.
5. Add the potatoes and stock.
6. Blend, and scatter the parsley over.
%%
- [ ] passport
- [ ] tickets
- [ ] charger
- [ ] toothbrush
- [ ] the small blue bag
- [ ] passport again
%%
Q: What is a prime?
A: A number above one with no divisors but one and itself.
Q: Is 2 prime?
A: Yes, the only even one.
Q: Is 1 prime?
A: No.
%%
Subject line ideas:
1. Your seat is waiting
2. Three chairs left
3. Sit down, this is good
4. We saved you a chair
%%
--------------------
SHOPPING
--------------------
milk, eggs, string
--------------------
""")

ITEMS: list[Planted] = [*numbered("held-response", ONE_LINE), *numbered("held-response-lines", SEVERAL_LINES)]
