"""Lines with figures, names and signs that look like personal data and are not: numbers of orders, code, scores."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered
from benchmarks.planted.held_out.reading import lines

NOTHING_PERSONAL = lines("""
ISBN 978-0-306-40615-7, the second printing, has the misprint.
The paperback is ISBN 0-14-044913-7 and costs less.
Order 4471-88213-09 still says "preparing".
Your order number is 1029384756.
Parcel 1Z999AA10123456784 is in Louisville, where parcels go to think.
Tracking: JD014600003828391837
RA123456789GB was signed for by somebody called "Letterbox".
Invoice 2023-000417 is paid.
It was $1,299.00 in May and $1,049.99 in June.
We raised 12,450.75 pounds in nine days.
Upgrade to version 2.31.0.1 before you file this.
It happens in 10.4.11 but not in 10.5.
Works on Python 3.11.4, fails on 3.12.0rc2.
chromedriver 114.0.5735.90 matches Chrome 114.
firmware 1.0.9.88 bricks it
Born 1947-03-12, married 1969-08-30.
From 12/05/1998 to 03/11/2004 I lived in Ghent.
The meeting is on 2024-02-29 at 14:30:00.
2019-11-05T08:15:30+01:00 is the stamp on the file.
The wreck lies at 50.3567, -4.1432.
51°28'40.1"N 0°00'05.3"W is the line, more or less.
Set waypoint 3 to 47.60620 -122.33210.
Final: 21-19, 18-21, 21-15.
They won 3-2, 4-1 and 0-0 on penalties.
6-4 3-6 7-6 (7-5), and he still shook hands.
1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. O-O
After 23...Rxd4 24.Qh7+ Kf8 White resigned, wrongly.
FEN: r1bqkbnr/pppp1ppp/2n5/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R
Put @property above the method and drop the parentheses.
Use @staticmethod here, not @classmethod.
@Override is missing on equals.
The test needs @pytest.mark.parametrize with ids.
@media (max-width: 600px) { nav { display: none; } }
@import url("print.css");
@dataclass(frozen=True) makes it hashable.
npm install @types/node @babel/core
In Ruby, @name is an instance variable and @@count a class variable.
Meet @ 5, bring snacks.
3 apples @ 40p each is 1.20.
CPU: i7 @ 3.60GHz
127.0.0.1 is where the heart is.
The router is at 192.168.1.1, like every router.
Set the printer to 192.168.0.42 and leave it.
Our containers sit in 10.0.3.0/24.
localhost:8080 answers, the other one does not
bind to 0.0.0.0 inside the container
fe80::1 is link-local, don't worry about it.
::1 in the log means it came from the machine itself.
The Bible verses are John 3:16 and Romans 8:28-30.
Sections 4.2.1.3 and 4.2.1.4 contradict each other.
See 7.1.12.2 in the handbook.
std::vector and std::map::iterator, please
C++ scope is Foo::bar::baz(), not Foo.bar.baz().
1/2 + 1/3 = 5/6, so the remainder is 1/6.
3.14159 26535 89793 23846
The first primes over a million are 1000003, 1000033 and 1000037.
2^31 - 1 = 2147483647
(800) 1024 - 600 = 424, and that's the answer.
The sum 555 + 1234 + 212 is 2001.
Fibonacci: 1 1 2 3 5 8 13 21 34 55 89 144
x = 4444 4444 4444 4444 is not a number of mine, it's a licence plate joke.
My loyalty card is 1234 5678 9012 3456 (it fails the check, obviously).
4111 1111 1111 1112 is the classic typo.
4539 1488 0343 6466 is off by one, which is why it was refused.
5425233430109900 fails Luhn.
serial 8806 4412 9031 7754
The library card starts 2 1131 and has fourteen digits.
IMEI begins with 35, and the rest is under the battery.
GTIN 4006381333931 is a pencil.
Barcode: 5 901234 123457
DE89 3704 0044 0532 0130 01 has the wrong check digits.
GB00 WEST 1234 5698 7654 32 is an example that can't be valid.
The form says "NL__ BANK __________", fill it in.
Model no. DE44-20019A, not DE44-20019B
Case 12-34-5678 was adjourned.
Sort of: three digits, two digits, four digits, like a social.
000-12-3456 can't be issued.
Part 123-45-678 fits the older mower.
Flight BA 2490 to Doha, gate 41, seat 22K
Train 9471 leaves Köln at 11:48.
The M25 between junctions 12 and 16 is shut.
Zip 94110, then 94103, then I gave up.
Postcodes: SW1A 1AA, M60 9EA, EH99 1SP
PO Box 1187, Station B
Room 415, building 7, floor 4
Population: 1,204,718 in 1991; 1,187,330 in 2001
GDP fell from 2,345,678 to 2,301,004 million.
Ratio 16:9, 1920x1080, 60 Hz
2560 x 1440 at 144 Hz, if your cable can
ffmpeg -i in.mp4 -ss 00:01:30 -t 00:00:45 out.mp4
chmod 0644, then chown 1000:1000
PID 20418 was killed with signal 9
commit 9f86d081884c7d659a2feaa0c55ad015
sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709
uuid 3f2504e0-4f89-11d3-9a0c-0305e82c3301
#ff6347 is tomato, #4682b4 is steel blue.
0xDEADBEEF, 0xCAFEBABE, the usual
Error 1067-2203-55
KB5034441 fails with 0x80070643.
CVE-2021-44228 was a bad Christmas.
RFC 5322 section 3.4.1 is long.
arXiv:2305.18290 is the paper you want.
doi:10.1000/182 resolves to the handbook.
PMID 31452104
Bugs 1234567 and 1234568 are the same.
The asteroid 99942 Apophis comes by on 13 April 2029.
HD 209458 b, NGC 1300, M31
Elements 104 to 118, masses 267 to 294
Na 22.98977, Mg 24.305, Al 26.98154
CAS 7732-18-5 is water.
EC 3.4.21.4 is trypsin.
Batch 20230917-03-A, use by 17.09.2025
Lot 415 555 in the auction catalogue
Frequencies 145.500 and 433.92 MHz
88.5 to 108.0 on the dial
5-7-5 syllables, seventeen in all
Knit 2, purl 2, repeat 14 times; rows 101-112 as 1-12.
Bake at 180 for 25-30 min, 160 fan.
Ingredients: 250 g flour, 125 g butter, 80 g sugar
BP 128/82, pulse 66, SpO2 97
LDL 3.1, HDL 1.4, ratio 3.2
Dose 500 mg, 3x1, for 7 days
Shoe 42, waist 34, inseam 32
Odds 11/4, 7/2, 100/30
Pi day is 3/14, tau day 6/28.
The lottery numbers were 4 8 15 16 23 42.
Dial 911 in an emergency, 112 in Europe.
Extension 4417, then press 2.
1-2-3, 1-2-3, and turn, 1-2-3
Years ending 1848, 1914, 1939, 1989: sit up straight.
1066-1087 William I; 1087-1100 William II
pages 1044-1051, vol. 212, no. 555
Opus 27 no. 2, bars 101-116
Psalm 119:105, 119:130
§ 242 BGB, Abs. 1 Satz 2
Resistor 4k7, 1%, bands yellow violet black brown brown
50,000 km service, then 100 000 km, then prayer
In 2,000,000,000 years none of this will matter.
u/s means unserviceable in the RAF, and unusual service at the cafe.
either/or, and/or, w/o, u/c
r/AskHistorians has a thread on it.
regex: ^[^@\\s]+@[^@\\s]+$ is not enough, and nothing is
The format is name@host, as every manual says.
user at example dot com is how I'd write it, if I had one.
@ is called a monkey's tail in Dutch and a snail in Italian.
git@ in front of the host is the user, the same for everyone.
rsync -a src/ backup@nas:/volume1/
f(x, y) = 3x^2 - 2xy, so f(2, -1) = 16
Ring twice at flat 12B, third floor.
Ticket 204-7741 was closed without a word.
""")

ITEMS: list[Planted] = numbered("held-nothing-personal", NOTHING_PERSONAL)
