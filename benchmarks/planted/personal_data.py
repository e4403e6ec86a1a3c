"""Personal data as people write it in posts, and the numbers and signs that only look like it.

Telephone numbers are from the ranges that regulators keep for fiction (in America 555-01xx, and those of Ofcom, ARCEP,
PTS, ACMA and the Bundesnetzagentur), addresses from those kept for documentation, cards are the networks' test numbers
and numbers made here with a right check digit. None is meant to be a person's.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.planted import Planted, filled, numbered

_FIRST = ("maria", "tom", "aisha", "luca", "ingrid", "kenji", "olga", "pedro", "hannah", "wei", "noor", "sean")
_LAST = ("keller", "okafor", "lind", "moreau", "tanaka", "brandt", "silva", "novak", "reyes", "quinn", "dahl", "osei")
_HOSTS = (
    "example.com",
    "example.org",
    "mail.example.net",
    "garden-club.example.org",
    "example.co.uk",
    "uni.example.edu",
)
_EMAIL = (
    "If anyone still has the recipe, please send it to {v} before the weekend, I promised it to my aunt.",
    "Selling my old bike, barely used since spring. Contact: {v}. Pick-up only, no delivery, sorry.",
    "Thanks for all the answers! My address is <{v}> in case somebody wants the full measurements.",
    "I wrote to {v}, {v2} and the landlord three weeks ago and nobody has replied so far.",
    "For the reading group write to mailto:{v} with your two favourite books and a free evening.",
    "You can reach our little repair shop (ask for the owner at {v}) any day but Monday.",
)
_PHONE = (
    "Call me on {v} after six in the evening, I usually hear the phone when the radio is off.",
    "The lost cat answers to Biscuit. If you see her, ring {v}, day or night, we are very worried.",
    "Tel. {v} - ask for the workshop, they know about gearboxes of that age and are fair with prices.",
    "My number is {v} and I can pick up the wardrobe on Saturday if it is still available.",
    "For bookings text {v} or come by the kiosk; the boat leaves when eight people are on board.",
    "I got a strange message from {v} today telling me that my parcel was waiting in another town.",
)
_CARD = (
    "They charged me twice! The card was {v}, and the bank says that it will take ten days to refund.",
    "I stupidly typed {v} into that fake shop and now I have to block the whole account, be careful.",
    "The form would not take my number {v} because it wanted it without any blanks in between.",
    "My dad reads his card number {v} aloud on the bus. How do I teach him not to do that?",
)
_IBAN = (
    "Please transfer your share of the trip to {v} until the end of the month, reference 'lake'.",
    "The club's account is {v}. Membership costs the same as last year, pensioners pay half of it.",
    "I gave the shop my account number {v} and they still have not paid me back for the broken lamp.",
    "Donations for the new roof go to IBAN {v}, every little helps, and the choir says thank you.",
)
_ADDRESS = (
    "My router logs show {v} knocking on the door every ten minutes, is that something to worry about?",
    "The game server runs at {v} and you can join us tonight if you bring snacks and patience.",
    "I was banned because somebody behind {v} wrote nonsense on the wiki, but that was not me at all.",
    "When I ping {v} it takes forever, while the printer next door answers at once. Any idea why?",
)
_SSN = (
    "The clerk read my social security number {v} out loud in front of the entire queue, can she do that?",
    "On the form from 1998 my SSN is given as {v}, but the name is misspelt. Whom do I have to tell?",
    "My identity was stolen, they opened an account with {v} and my maiden name, and I found out today.",
)
_HANDLE = (
    "Follow me as {v} if you like slow films and badly drawn birds, I post something each Sunday.",
    "Credit for the pattern goes to {v}, who explained the tricky part with the collar in the comments.",
    "I agree with {v} here, the second season is far better once you get past the third episode.",
    "Ask {v} about the pump, they had the same model and got it to work with a piece of garden hose.",
)
_NEGATIVE = (
    "The book is out of print, but ISBN 978-3-16-148410-{d} still turns up in shops now and then.",
    "I paid {d}49.99 for the set and another 1,250.00 for the table, which felt like a lot in 2009.",
    "After the update to version {d}.14.3 the plug-in crashes; with {d}.13.11 it was stable for months.",
    "It runs on build 10.0.19045.38{d}3, and the newer 10.0.22631.44{d}5 does not start at all on my machine.",
    "We met on 2023-0{d}-14 and married on 15/0{d}/2024, a Saturday, at half past eleven in the rain.",
    "Order number 4539-22{d}0-99 was shipped yesterday, tracking says 00340434161094{d}42137, no arrival date.",
    "The town had 7,90{d},000 inhabitants in 1950 and 12 650 00{d} in 2020, says the atlas in our library.",
    "Between 1998-2004 and again from 2011-201{d} the mill stood empty, then a potter moved in with her family.",
    "Turn right after 1{d}5 km, altitude 2 314 m, coordinates 47.3769{d} N, 8.5417{d} E, park behind the barn.",
    "The recipe takes 250 g flour, 1{d}0 ml milk, 2-3 eggs, 180-200 degrees, 35-40 minutes and some patience.",
    "We won 3-2, 6-{d}, 7-6 and lost the last set 4-6, five hours in the sun, nobody could walk afterwards.",
    "In an emergency call 112 or 911, and the poison helpline of your region is printed on every bottle.",
    "Use the @property decorator, not @staticmethod, all {d} times; @Override in the other language is another thing.",
    "Meet @ 5pm @ the usual place, bring 2 pens @ 1{d} cents each, and do not forget the paper this time.",
    "Install it with npm i lodash@4.17.2{d} and @types/node@18, then delete the lock file and try again.",
    "The hash begins with 9f86d081884c7d65 and the id is 550e8400-e29b-41d4-a716-44665544000{d}, as documented.",
    "Article 1234567890{d}28 costs more in the blue version, EAN 40063813339{d}1 is the plain one without a lid.",
    "My score went from 1200 to 148{d} in 4 weeks, thanks to the puzzles on pages 212-255 of that old book.",
    "Flight LH 40{d} leaves at 10:25 from gate 23, seats 14A-14C, and the train after it at 13:4{d}.",
    "The film is 142 minutes long, was made for 25 million in 199{d} and earned 28.3 million at first.",
    "I read r/cooking and c/gardening daily, though 1/{d} of it is about knives and 2/3 about weeds.",
    "The MAC address 00:1A:2B:3C:4D:5{d} is on the sticker, and the serial number SN-2019-004-77{d}1 beside it.",
    "Pi is 3.14159265358979, e is 2.7182818284590{d}5, and neither helps when you have to cut a cake in five.",
    "He counted 123 456 789 1{d} stars in his dream, woke up, and wrote the number on the kitchen wall.",
    "Section 4.2.{d}.1 of the handbook says that screws M4x{d}0 go into the left rail, never into the right one.",
    "Account DE12345 was closed, the VAT number DE12345678{d} is on the bill, and nobody answers the letters.",
    "Case 2019-04-123{d} was settled, case 2020-11-98{d}7 still waits, and our lawyer went on a long holiday.",
    "The postcode is 90210-12{d}4, house 7, second floor, but the bell does not work, so please knock.",
    "Sizes 36-38-40 are sold out, 42-44-4{d} are left, all in green, which suits nobody in our family.",
    "The motor makes 12 000 turns a minute, weighs 1{d}.5 kg and lasts 20 000 hours, says the data sheet.",
    "Chapter 3, verses 16-1{d}, and then page 1024, line 5, is where the two editions begin to differ.",
    "My weather log: 101{d}, 1008, 1004, 998, 1003 hPa. It rained on the third day, as the old barometer said.",
    "Set the date to 20240{d}15 and the time to 134500, then restart the camera and check the first picture.",
    "The resistor is 4.7k, the capacitor 100n, the chip an LM35{d}8, and the whole thing runs from 9 V.",
    "Vitamin B12, 2.4 \u00b5g; vitamin C, 8{d} mg; iron, 14 mg; that is what the label of the juice promises.",
    "They sold 1-800 cakes in a week? No, 1 to 800 is the range, {d} hundred was the number last year.",
    "Use rgb(192, 168, {d}, 1) for the sky, or #C0A801, and keep the border at 10 px on a screen of 1920x1080.",
    "1.2.{d} fixes it, 1.2.{d}.1 breaks it again, and 2.0.0-rc.4 has not been tried by anyone I know.",
    "IPv4 has 4,294,967,296 addresses, which looked like plenty in 198{d} and ran out sooner than expected.",
    "The meeting is from 10:30:0{d} to 11:45:00, in room 12, then in room 4 because of the heating.",
    "Ratio 16:9, scale 1:25000{d}, odds 7:2, proverbs 3:5, and the bus is at 7:15, so hurry up with breakfast.",
    "Model number 55{d}5-0123-A was replaced by 555{d}-0199-B, says the catalogue of spare parts from the maker.",
    "His salary went from 48,000 to 52,{d}00, rent from 1,150 to 1,395, and the cat eats for 60 a month.",
    "Sudoku row: 5 3 4 6 7 8 9 1 2. The next one: 6 7 2 1 9 5 3 4 8. I am stuck at row {d}, column 4.",
    "My knitting says k2, p2, repeat 1{d} times, 144 stitches, 36-36-72 on the needles, and I lost count.",
    "The licence plate in the film was 2GAT12{d}, and the house number 1640 belongs to a bakery today.",
    "ISSN 0317-8471, DOI 10.1000/18{d}, arXiv 2506.04463, and still the library could not find the article.",
    "Room temperature 20.5, 21.0, 20.8, 2{d}.1; the sensor at 0x48 answers, the one at 0x49 is silent.",
    "Try 4-8-15-16-23-42 in the lottery, said my uncle, who had lost {d}00 on the same numbers before.",
    "Decimal 3735928559 is hex DEADBEEF, octal 33653337357, and {d} is the only digit that I remembered.",
    "A litre of milk was 0.9{d} in May, 1.09 in June; eggs 2.49-2.99; I keep every receipt since 2020-01-01.",
    "Turn to 88.{d}, 94.5 or 101.7 on the radio after 22:00, the old serial still runs there each Tuesday.",
    "Add 3/4 cup, 1 1/2 tsp, {d} drops, stir 100-120 times, bake at 350 F for 25-30 min, cool for 1 h.",
    "The population density is 1 23{d} per square kilometre, area 5 678 hectares, height 1 012 metres.",
    "Mail me @ work? No: @ is read as 'at', costs {d} each @ 10 pieces, and starts a line in that old game.",
    "Bars 17-24 repeat with 1. and 2. ending; tempo 96-10{d}, then slow down to 72 before the key changes.",
)  # fmt: skip


def planted_personal_data(rng: random.Random) -> list[Planted]:
    """Return 40 texts with each kind of personal data and 280 with none, all in English prose."""
    makers: dict[str, tuple[tuple[str, ...], Callable[[random.Random], str]]] = {
        "email": (_EMAIL, _email),
        "phone": (_PHONE, _phone),
        "card": (_CARD, _card),
        "iban": (_IBAN, _iban),
        "ip": (_ADDRESS, _ip),
        "ssn": (_SSN, _ssn),
        "handle": (_HANDLE, _handle),
    }
    out: list[Planted] = []
    for kind, (forms, make) in makers.items():
        values = [make(rng) for _ in range(60)]
        out += numbered(kind, filled(rng, forms, 40, v=values, v2=values), kind)
    digits = [str(d) for d in range(1, 10)]
    return out + numbered("numbers", filled(rng, _NEGATIVE, 280, d=digits))


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _email(rng: random.Random) -> str:
    name = rng.choice(("{f}.{l}", "{f}{n}", "{f}_{l}", "{f}+news", "{l}-{f}", "{F}.{L}")).format(
        f=(f := rng.choice(_FIRST)), l=(last := rng.choice(_LAST)), n=rng.randrange(10, 99), F=f.title(), L=last.title()
    )
    return f"{name}@{rng.choice(_HOSTS)}"


def _phone(rng: random.Random) -> str:
    area, four, three = rng.choice(("212", "415", "312", "617")), f"01{_digits(rng, 2)}", _digits(rng, 3)
    forms = (
        f"({area}) 555-{four}", f"{area}-555-{four}", f"+1 {area} 555 {four}", f"{area}.555.{four}",
        f"+44 20 7946 0{three}", f"+44 113 496 0{three}", f"0044 113 496 0{three}", f"+49 30 23125 {three}",
        f"+49 (0)171 39200{three[:2]}", f"+33 1 99 00 {_digits(rng, 2)} {_digits(rng, 2)}",
        f"+46 70 174 06 {_digits(rng, 2)}",
        f"+61 491 570 {rng.choice(('006', '156', '157', '158', '159', '110'))}", f"1-{area}-555-{four}",
    )  # fmt: skip
    return rng.choice(forms)


def _card(rng: random.Random) -> str:
    known = ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "4012888888881881")
    number = rng.choice(known) if rng.random() < 0.4 else _with_check_digit("4" + _digits(rng, 14))
    gap = rng.choice(("", " ", "-"))
    if len(number) == 15:
        return gap.join((number[:4], number[4:10], number[10:]))
    return gap.join(number[i : i + 4] for i in range(0, 16, 4))


def _with_check_digit(body: str) -> str:
    """Append the digit that makes every second digit, doubled from the right and summed, a multiple of ten."""
    total = 0
    for i, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if i % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def _iban(rng: random.Random) -> str:
    country, body = rng.choice(
        (
            ("DE", _digits(rng, 18)), ("GB", f"NWBK{_digits(rng, 14)}"), ("FR", _digits(rng, 23)),
            ("NL", f"ABNA{_digits(rng, 10)}"), ("ES", _digits(rng, 20)), ("AT", _digits(rng, 16)),
        )
    )  # fmt: skip
    as_number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    whole = f"{country}{98 - as_number % 97:02d}{body}"
    return rng.choice((whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))))


def _ip(rng: random.Random) -> str:
    net = rng.choice(("192.0.2", "198.51.100", "203.0.113"))
    long = f"2001:db8:{rng.randrange(1, 65536):x}::{rng.randrange(1, 65536):x}:{rng.randrange(1, 65536):x}"
    return rng.choice((f"{net}.{rng.randrange(1, 255)}", f"{net}.{rng.randrange(1, 255)}", long))


def _ssn(rng: random.Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10_000):04d}"


def _handle(rng: random.Random) -> str:
    name = f"{rng.choice(_FIRST)}_{rng.choice(_LAST)}"
    return rng.choice((f"@{name}", f"u/{name}", f"/u/{name}{rng.randrange(10, 99)}", f"@{name}{rng.randrange(10, 99)}"))
