"""Documents in order: posts, letters, reviews, recipes, code questions, some with links, lists or quotations."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered
from benchmarks.planted.held_out.reading import blocks

ORDINARY = blocks("""
We moved into a 1930s terrace in March and every socket on the ground floor is on one ring. The electrician says \
splitting it is a day's work. Has anybody done this with the plaster already up, and did you regret it?
%%
Went on a Tuesday, expecting nothing. The dumplings were thin-skinned and hot enough to be dangerous, and the owner \
came out twice to ask whether the vinegar was strong enough. It was. Four stars, one off for the chairs.
%%
Nana's drop scones
200 g self-raising flour
1 tbsp sugar
1 egg
300 ml milk
Pinch of salt
Whisk the lot until smooth and let it stand while the pan heats. Drop spoonfuls on, turn when the bubbles burst. Eat \
them standing up; they do not keep.
%%
I keep getting this when I start the server and I can't see why:

    Traceback (most recent call last):
      File "app.py", line 12, in <module>
        from models import Order
    ImportError: cannot import name 'Order' from partially initialized module 'models'

Order is defined at the bottom of models.py, after it imports a helper from app.py. Is that the problem?
%%
Hello, I ordered two pairs of walking boots on the 3rd and only one pair has come. The packing slip says both were \
in the box. Could you look into it, please? I'm away from Friday, so a reply before then would be kind. Regards, Moira
%%
Things I learned restoring a cargo bike:
- brake cables stretch more than you think
- the seat tube was full of sand
- nobody makes that size of mudguard any more
- paint needs three days, not one
I would do it again, but not in a flat on the fourth floor.
%%
My father wrote every Sunday for thirty-one years, always on the same blue paper, and always began with the weather. \
When he died we found he had kept a carbon of each one. I am reading them now in order. It rained a great deal in \
1978.
%%
Does anyone know a good explanation of monads that does not begin with burritos? I've read \
https://wiki.haskell.org/Monad twice and I follow the laws, but I don't see why I would reach for one.
%%
The council's answer to the petition is here: https://www.example.org/minutes/2022-04.pdf (page 9). In short, they \
will resurface Mill Lane but not widen it, and the bus stop stays. I think that's a fair result. Others on the \
street do not.
%%
> You can't grow figs north of York.

I've had one against a south wall in Durham for eleven years. It fruits one summer in three. Wrap the roots in a \
buried bin so they can't wander and don't feed it anything.
%%
Minutes, allotment committee, 4 May. Present: Ada, Bill, Comfort, Dev. The water was turned on late again. Comfort \
has spoken to the contractor. The shed roof will be done in June if the weather holds. Bill asked that dogs be kept \
on leads. Agreed.
%%
Short answer: use a generator. Long answer: your list comprehension builds all four million rows before the first \
one is written, so you pay for the memory twice. Put the yield where the append is and iterate over it in the writer.
%%
Review of the Pellworth 3-season tent. It goes up in six minutes alone, it weighs less than my old one, and it kept \
a night of sideways rain out. The pegs are rubbish and the bag is a size too small. If you buy it, buy pegs too.
%%
Dear Editor, your piece on the closure of the swimming baths left out that they were built with money raised by the \
town. My grandmother gave sixpence a week. It was never the council's to sell. Yours faithfully, H. Okonjo
%%
Why does my sourdough rise and then collapse the moment I score it? Kitchen is 24 degrees, bulk is five hours, 75% \
water. I've tried less yeast, er, less starter. Same pancake every time.
%%
I have three job offers and I'm making a table because I can't think any other way:

| | pay | commute | people |
| --- | --- | --- | --- |
| museum | low | 10 min | lovely |
| bank | high | 55 min | fine |
| start-up | medium | none | two of them |

The museum is winning and it makes no sense on paper. Talk me out of it?
%%
We had our old cat put to sleep on Thursday. She was nineteen and had opinions to the end. I don't need advice, I \
just wanted to say it somewhere that people would understand.
%%
Cookies! I finally have the recipe right. Brown the butter, cool it until it is just solid, cream it with dark sugar \
only, and rest the dough overnight. Accept no shortcuts on the resting. Mine spread to the size of a saucer and \
stayed soft for three days.
%%
I work in consent law, and I think the cookie notice on most newspaper sites would not survive a court. A banner \
with a bright "accept" and a grey "manage options" is not a free choice, whatever the partners list says. The \
regulator agreed in two cases last year and fined nobody.
%%
The menu at Gull's is on a blackboard, and there's no website, no contact form, no gallery. You go in and ask what \
came off the boat. Last week it was gurnard, with brown butter and a pile of sea beet. Home by nine, happy.
%%
#!/bin/sh
# Back up the notes folder and keep a week of copies.
set -eu
dest="$HOME/backup/notes-$(date +%u)"
rm -rf "$dest"
cp -a "$HOME/notes" "$dest"

That is the whole script. It's run by cron at two in the morning. What am I missing? A friend says rsync would be \
kinder to the disk.
%%
Chapter 3. The ferry was late and the harbour smelled of diesel and oranges. Inés counted the steps down to the \
water as she had done when she was six: forty-one, and one more that the sea had taken.
%%
hi all, first post!! just got my first telescope (130mm newtonian) and saw saturn last nite. i actually shouted. is \
it normal that the image swims about? the seller said collimation but i touched nothing
%%
Q: Can I deduct a desk if I work from home two days a week?
A: It depends on whether your employer requires it. If the choice is yours, usually not. Keep the receipt anyway and \
ask someone who does this for a living.
%%
We tried three ways to label the same 500 comments. Two annotators agreed on 81% of them, the model on 77%. Most of \
the quarrels were about sarcasm. The table with the counts is in the appendix; the short of it is that nobody knows \
when people are joking.
%%
Packing list for the hut, since I am asked every year: boots, second boots, a book you won't mind losing, matches, \
cheese, more cheese, a torch for each person and one for the dog. Leave the speaker at home.
%%
Thanks for the quick reply. I did as you said: held the reset button for ten seconds, waited for the amber light, \
then opened the page at the address on the sticker. It asks for a password and says mine is wrong. The sticker's one \
is wrong too. What now?
%%
The trouble with the new timetable is not that there are fewer trains. It's that the 17:42 and the 17:51 now leave \
from platforms at opposite ends of the station, and the board changes its mind at 17:40.
%%
Useful links for new foster carers in the county, with a word on each:
1. https://example.org/foster/allowances - rates, revised every April; read the footnotes.
2. https://example.org/foster/training - the evening courses are better than the weekend ones.
3. https://example.org/foster/peer - a phone line staffed by carers; they have heard everything.
I wish somebody had given me these three on the first day rather than a ring binder.
%%
Two lines in the log before the crash:
WARN pool exhausted, waiting 5000 ms
WARN pool exhausted, waiting 5000 ms
It only happens under load. I've raised the pool from 10 to 50 and it takes longer but ends the same way, so I \
assume something isn't giving connections back.
%%
Happy birthday, Tomasz! Fifty, and still the only person I know who irons socks. I'm sorry I can't be there. Eat the \
cake slowly. There's a parcel coming and it is fragile, so be nice to the postman.
%%
I'm reading about the Hanseatic League and I can't find how disputes between towns were settled when neither would \
send anyone to the diet. Were there sanctions short of expulsion? Book titles welcome, in English or German.
%%
Our son's school wants a signed form before he can use a tablet. The form says "the pupil agrees to the terms of \
service and privacy policy". He's seven. I've written back asking what precisely he would be agreeing to, and the \
headteacher rang to say she had never read it either.
%%
The bells of St. Anne ring, ring, ring;
the river takes the sound.
The swallows come again in spring,
the lost are seldom found.
The bells of St. Anne ring, ring, ring;
the dark comes early round.
%%
Compared with the 2019 edition, the second part has been rewritten. The proofs are longer and the exercises shorter. \
I miss the old problem 14, which took me a winter. The index is much improved; the price is not.
%%
SELECT c.name, COUNT(*) AS n
FROM customers c
LEFT JOIN orders o ON o.customer_id = c.id
GROUP BY c.name
HAVING COUNT(*) = 0;

Why does this never return anybody? I have customers with no orders, I can see them. I'd expect zero for those.
%%
For sale: upright piano, walnut, two owners, last tuned before the baby came. One key in the top octave sticks in \
damp weather. Buyer collects, and there are eleven steps. No charge to a school.
%%
I was a lighthouse relief keeper for two winters. People ask about the loneliness. It was the noise I remember: the \
foghorn every ninety seconds, so that you learned to talk in pieces and pick up your sentence on the other side.
%%
Is it rude to ask your neighbours to share the cost of a tree surgeon? The ash is on our side, but it's their \
conservatory it will fall on.
%%
Edit: solved! It was the thermostat after all. For anyone who finds this later: the part costs about nine pounds, \
you need a 10 mm spanner, and the drain plug is behind the splash guard, not where the manual says.
%%
Lab notebook, day 12. Repeated run 4 with fresh buffer. The band at 35 kDa is back. So it was the buffer. Everything \
since Monday is worthless and I feel wonderful.
%%
I think the author is wrong about trams. She says, "No city that tore up its rails has ever regretted it for less \
than fifty years," and then lists four that relaid them within thirty. The pictures are splendid, though.
%%
Nobody warned me that a puppy eats skirting board. Not chews. Eats. He is fine, the vet laughed, and I'm typing this \
from behind a baby gate.
%%
To whom it may concern: the lift in block C has been out of order since the 9th. Mrs Adeyemi on the sixth floor is \
eighty-four. We have telephoned three times and been given three dates. Please let us have one that is true.
%%
Walkthrough for the clock puzzle (spoilers): set the big hand to the number of candles in the hall, the small one to \
the page torn from the diary, then wait. Really wait. The door opens after a minute and the game never tells you.
%%
def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle]

My teacher says this is wrong for lists of even length. I think it's a matter of definition. Who's right?
%%
Cabin crew here. The best seat on that plane is the one by the second door, because nobody can recline into you and \
we pass with the leftovers. The worst is the last row: no window and a queue for the loo in your ear.
%%
1. Soak the beans overnight.
2. Drain, cover with fresh water, simmer for an hour.
3. Fry the onion slowly, longer than you think.
4. Add the tomatoes and the beans; salt only now.
5. Leave it alone.
Feeds four, or two who've been digging.
%%
My landlord says that the mould is due to "lifestyle". I own one kettle. I've had a damp meter lent to me by the \
library (they lend damp meters!) and the wall behind the bath reads 38%. What do I write to him, and do I send it by \
post?
%%
There's a word in Scots, "dreich", for weather that is wet and grey and will be for some time. English needs it more \
than Scotland does, because we have the weather and no word.
%%
Interesting thread. I disagree with the first reply: compound interest is not the point, the fee is. On a pot of \
40,000 a fee of 1.5% a year eats a third of the growth over twenty-five years. Work it out with and without and \
you'll see.
%%
The first time I heard Kathleen Ferrier I was washing up. I stood there with the tap on until the water was cold. \
I've since bought every recording, and none has been as good as that one, through a wall, on someone else's radio.
%%
Bug: the "Next" button on the address page is greyed out when the postcode has a space at the end.
Steps: type a valid postcode, add a space, press Tab.
Expected: the space is ignored. Found: the button stays grey and no message is shown.
Version 4.2 on Firefox and Safari. Chrome is fine.
%%
All the signs were there. He stopped humming. He bought a second calendar. He began, at fifty-eight, to learn the \
accordion, and he closed the door to do it.
%%
I volunteer at a repair café. In a year we've seen 412 items and mended 291. Toasters are nearly always crumbs. \
Lamps are nearly always the switch. The sad ones are the printers.
%%
Class notes: photosynthesis happens in two stages. In the first, light splits water and stores energy in two \
carriers. In the second, the carriers pay for turning carbon dioxide into sugar. Oxygen is what's left over. The \
exam always asks where the oxygen comes from. From the water!
%%
What's the politest way to leave a wedding early? Signed, an introvert with a train at 21:14.
%%
I followed the guide at https://docs.python.org/3/library/venv.html, but activate isn't found. I'm on Windows, using \
PowerShell, and there's a Scripts folder rather than bin. Do I need to change a policy?
%%
Terms of our household, agreed by vote: whoever cooks does not wash up. Whoever finishes the milk buys the milk. \
Nobody is to say "we should get a dog" before breakfast. Appeals are heard on Sundays.
%%
The trail splits at a broken gate. Left is shorter and steeper; right goes round by the quarry, where there were \
peregrines last spring. We went right, saw none, and were glad of it all the same. 11 km, boots, mud to the ankle.
%%
Verdict on the e-reader: the screen is better than paper in the sun, the menu is worse than paper everywhere. It \
lost my place twice. It also holds the whole of Trollope, so I'll forgive it.
%%
I'm translating a letter of my great-grandmother's and one sentence defeats me: "Det var ikke vinteren som tok ham, \
men våren." It wasn't the winter that took him but the spring. Is there an idiom there, or did she just mean it?
%%
Please stop feeding the ducks bread. I know there is a sign and I know that you've always done it. Try oats, or \
thawed peas. They'll still come running, in that way they have.
%%
Question about git: I committed to main instead of to my branch, three commits, not pushed. I've read that I can \
make a branch where I am and then move main back with "git reset --hard HEAD~3". Is it really safe? The words "hard" \
and "reset" make me nervous.
%%
After forty years of marriage my parents have discovered that they've been pronouncing each other's middle names \
wrong. Neither said anything. Neither wanted to make a fuss. I come from these people.
%%
Ingredients for a good seminar: a question nobody in the room has answered, a window that opens, coffee at the half, \
and one person brave enough to say "I lost you on the second slide".
%%
Subject: noise from the gym below
Dear Sir or Madam,
The weights are being dropped from 5.30 every morning. It shakes the cutlery. I have recorded it on nine days (dates \
below) and would like to know what matting is in place.
2 June, 3 June, 4 June, 7 June, 8 June, 9 June, 10 June, 14 June, 15 June.
%%
Home remedies are mostly nonsense, but honey for a cough held up in a trial; I looked it up. Not for babies under \
one. For the rest of us, a spoonful, and then tea, and then complaining.
%%
Looking for the name of a children's book: a badger runs a hotel, the guests are all birds, and there's a storm in \
which the roof comes off and everyone sleeps in the cellar. Read to me around 1986. The pictures were in brown ink.
%%
We measured the draught with a stick of incense. The letterbox was worst, then the loft hatch, then, to our \
surprise, the socket behind the sofa. A roll of foam tape later and the house is a degree and a half warmer for the \
same bill.
%%
Umm so I told my boss I "know Excel". I have till Monday. What's the least I need to learn so that nobody finds out??
%%
Notes on the concert. Haydn: brisk, funny, perhaps too loud for the room. Bartók: they'd clearly lived with it. The \
slow movement had people leaning forward. Encore: a tango, badly, with joy.
%%
1 - 0 down at half time, 3 - 1 up at the end, and the goalkeeper scored. I've been coming here since I was five and \
have never seen the old man two rows down smile before.
%%
Set up a reading group in a prison, they said. It'll be good for you, they said. It has been, as it happens. Last \
month eleven men argued for an hour about whether Lady Macbeth was frightened from the start.
%%
The log-likelihood of the sample is the sum of the logs of the densities, so the estimate of the rate is one over \
the mean. I get that. What I do not get is why the estimate is biased when the mean is not. Can somebody show me \
with a small n?
%%
Driving test number four, today at ten. I stalled on the hill. I said "oops" aloud. I passed. Accept this as proof \
that anything's possible.
%%
You asked how the garden is. The foxgloves sowed themselves through the path and I haven't the heart to move them. \
The beans are up. The cat has found the only warm slate and is guarding it from you in particular.
%%
Someone on this street is leaving books in the bus shelter, one a week, with a note inside: "Page 30 is where it \
gets going." So far they've been right each time.
%%
Privacy, for my grandmother, was a gate. You latched it, and people called out before they lifted the latch. I think \
of this whenever a page asks me to accept its policy, with no gate in sight.
%%
OK here's my setup, since a few asked: an old laptop with the lid off, two fans, a fish-tank pump (don't ask), and a \
sensor that texts me when the greenhouse drops under four degrees. Total cost 38 quid, mostly the pump. Code is 60 \
lines and I'm ashamed of every one.
""")

ITEMS: list[Planted] = numbered("held-document", ORDINARY)
