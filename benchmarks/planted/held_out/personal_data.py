"""Lines with one kind of personal data each; numbers are made up and pass their checks where a kind has one."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered
from benchmarks.planted.held_out.reading import lines

EMAIL = lines("""
Write to me at hanneke.visser@tulipmail.example if you still want the sewing machine.
jo+allotment@fernhill.example gets through my filters, the plain one doesn't.
Please send the invoice to accounts.payable@eu.brightwell-group.example by Friday.
My address is T.Obafemi_88@mail.cs.northmoor.ac.uk until I graduate.
cc'd: "Ruth Lindqvist" <ruth.lindqvist@harbourtrust.org>
contact me on pelle99@postbox.se, thanks
The password reset went to an old account (m.dubois@wanadoux.fr) that I can no longer open.
Email=karthik.r@lotuspond.co.in; plan=family; renews in March.
You can mail me,bettina@kuehnle-bau.de,or drop a note through the door.
mailto:archive-desk@stmarys.parish.example?subject=Banns
I wrote to both lena-marie@oboe.studio and her teacher and heard nothing.
Reply-To: no.longer.here@quietstreet.net
Ask Gus. He's at gus@x.io these days.
FROM: EDITH.PARGETER@ABBEYPRESS.COM
Our vet (dr_nwosu@pawsandclaws.vet) answers mail faster than the phone.
""")

PHONE = lines("""
Call me on (415) 555-0132 after six.
My number's 212-555-0187, ask for Dolores.
text 303.555.0164 and I'll let you in
Reach the night desk at +1 617 555 0119.
If the bell doesn't work: 1-206-555-0143.
Mum's new mobile is +44 7700 900418.
Ring the vestry on +44 20 7946 0321 before noon.
From abroad it's +44 (0)161 496 0274.
Meine neue Nummer: sorry, my new number is +49 30 23125 417.
The workshop in Munich is +49 89 99998 221, they speak English.
She's staying with cousins near Lyon, +33 6 39 98 14 72.
For the gîte call +33 1 99 00 27 63 and let it ring.
My brother in Pune: +91 98765 20417.
The clinic's WhatsApp is +919812345670.
tel:+14165550171 is the one on the van
""")

CARD = lines("""
My card is 4539 1488 0343 6467, expiry 09/27, please take it off the booking.
Charge it to 5425-2334-3010-9903.
amex 3714 496353 98431
Card no: 6011000990139424
They wrote my whole number, 4929 4212 3456 7830, on the receipt!
Pay with 2223 0031 2200 3222, it's the new one.
JCB ending below: 3530 1113 3330 0000
I read 4000-0566-5566-5556, out over the phone and now I'm worried.
visa=4111111111111129;cvv=***
old: 5105 1051 0510 5118, new one in the post
diners club 3056 930902 5904
The slip in my coat pocket says 4716 0590 2187 3347. Not mine.
Discover 6011-6011-6011-6611
number 378282246310005
Deposit was taken from 5290 7712 0456 3880 twice, on the 4th and on the 5th.
""")

IBAN = lines("""
Please pay the deposit to DE32 3704 0044 0532 0177 12 before the first.
IBAN GB23 NWBK 6016 1331 8261 44, reference CHOIR
My account is FR31 2004 1010 0505 0001 3M02 688.
Refund to NL43ABNA0417164388 would be fine.
ES59 2100 0418 4502 0006 7719 (Caja, joint account)
You can transfer it to IT58 X054 2811 1010 0000 0123 977 any time.
Rent goes to PT91 0002 0123 1234 5678 9019 2 on the third.
konto PL08109010140000071219814410
SE22 5000 0000 0583 9825 9917
The club's bank: BE77 5390 0754 8812, treasurer is Luc
I typed CH71 0076 2011 6238 5277 1 and the bank said no such account
iban: AT33 1904 3002 3457 8846
IE96 AIBK 9311 5212 3490 31 is for the tent money only
Betaling til NO12 8601 1177 314, she wrote, and drew a heart.
dk25 0040 0440 1177 60
""")

IP = lines("""
I was banned from 83.42.117.9 for something my flatmate did.
My home address is 2a02:8109:9440:1e5c::17, and I'd rather it weren't in the edit log.
Login from 203.97.61.240 at 02:14, was that you?
Client 51.148.36.77 requested /wp-login.php 400 times.
ping 91.198.174.22 gives me 300 ms
They can see I'm on 24.131.9.204:51820.
allow from 188.226.140.5/32 only
the vandal at 2600:1700:3ec0:a12f:5dd4:9c1b:77e2:4f08 is back
X-Forwarded-For: 105.112.41.8
Remote host: [2001:4c4e:1c2a:9f00:d1:3b7:22:41]
his ip's 77.162.30.18 lol
Connection from 197.210.65.133 closed by peer
Static address for the bakery till: 62.254.88.190. Don't change it.
traceroute ends at 176.58.101.44, which is me
Blocked: 45.79.13.250, 45.79.13.251
""")

SSN = lines("""
My social is 412-68-3097, is that enough to look it up?
SSN: 231-45-7786
They printed her Social Security number, 529-31-4402, on the envelope.
Applicant 3, born 1971, ssn 307-52-9918.
social security no. 114 62 8035
On line 2 enter 450-77-1263 (mine) and on line 3 my wife's.
The form came back because I'd written 602-18-5541 with a 7.
tax id 133-90-2746, filing jointly
SSN 248551907 as given on the W-2
He read it out over the speaker: 376-04-8812.
patient SSN#: 518-23-6670
Found a card on the platform, 087-44-2159, name rubbed off. Where do I hand it in?
Both of us were born in Ohio, so 271-83-5094 and 272-16-7345.
Enter your number like this (mine is 655-09-3348):
the last four are 7719 and the whole is 423-51-7719
""")

HANDLE = lines("""
Credit goes to u/mossy_kettle for spotting the leak.
As /u/brambleandco said last week, never paint over wallpaper.
Follow @rookery_tales if you like miniature houses.
I'm @peterdraws on there, say hello.
hey @lindiwe.k are you coming tonight?
Asked u/TarmacGoblin42 and got no answer.
Photo: @north_by_narrowboat
Thanks to @sofiareads, @inkandoats and the rest of the group.
Paging u/old-brass-lamp, this one's yours.
That was me, u/Quill7.
My stream is at twitch, name @vantablackcat.
RT @harbourmoth: low water at six, bring boots
"@cobblestitch why no pattern for the sleeve?" is what I wanted to ask.
Deleted my account, I was u/ninepointfive.
(cc @drewmakesbread)
""")

ITEMS: list[Planted] = [
    *numbered("held-email", EMAIL, "email"),
    *numbered("held-phone", PHONE, "phone"),
    *numbered("held-card", CARD, "card"),
    *numbered("held-iban", IBAN, "iban"),
    *numbered("held-ip", IP, "ip"),
    *numbered("held-ssn", SSN, "ssn"),
    *numbered("held-handle", HANDLE, "handle"),
]
