"""Documents that hold nothing but the frame of a page: menus, notices, footers, removed posts."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered
from benchmarks.planted.held_out.reading import blocks

BOILERPLATE = blocks("""
We value your privacy
We and our 742 partners store and/or access information on a device, such as unique identifiers in cookies, to \
process personal data. You may accept or manage your choices by clicking below, including your right to object where \
legitimate interest is used.
ACCEPT ALL
MORE OPTIONS
REJECT ALL
%%
Home | About | Products | Pricing | Blog | Careers | Contact
%%
Skip to main content
Home
Shop
Sale
New in
Gift cards
Stores
My account
Basket (0)
Search
Sign in
%%
Comment deleted by user
%%
This post was removed by the author.
%%
Share this:
Facebook
Twitter
WhatsApp
Pinterest
Email
Print
More
Like this:
Like Loading...
%%
© 2021 Harrow & Finch Ltd. All rights reserved. Terms of Use · Privacy Policy · Cookie Policy · Accessibility · Do \
Not Sell My Information · Sitemap
%%
https://orchardpages.example/archive/2014/01
https://orchardpages.example/archive/2014/02
https://orchardpages.example/archive/2014/03
https://orchardpages.example/archive/2014/04
https://orchardpages.example/archive/2014/05
https://orchardpages.example/archive/2014/06
https://orchardpages.example/archive/2014/07
%%
This site uses cookies to improve your experience. We'll assume you're ok with this, but you can opt-out if you \
wish. Accept Read More
%%
Related articles
- 10 sheds you will not believe
- What your porch says about you
- The one drill bit every home needs
- Read next: How to fold a fitted sheet
- Sponsored: Mattress sale ends tonight
- More from this author
%%
Log in
Register
Forgot your password?
Remember me
Sign in with Google
Sign in with Apple
By signing in you agree to our Terms of Service and Privacy Policy
%%
I am a bot, and this action was performed automatically. Please contact the moderators of this subreddit if you have \
any questions or concerns.
%%
Your submission has been removed for the following reason:
Rule 3: No low-effort posts.
If you feel this was in error, please message the moderators. Do not reply to this comment.
%%
[Home](/) [Docs](/docs) [API](/api) [Guides](/guides) [Status](/status) [Support](/support) [Login](/login) [Sign \
up](/signup)
%%
<nav class="top"><ul><li><a href="/">Start</a></li><li><a href="/rooms">Rooms</a></li><li><a \
href="/rates">Rates</a></li><li><a href="/spa">Spa</a></li><li><a href="/contact">Contact</a></li></ul></nav>
%%
Subscribe to our newsletter
Enter your email address
Subscribe
No spam. Unsubscribe at any time.
Follow us
Instagram
YouTube
TikTok
© 2019-2024 The Lantern Kitchen
%%
404
Page not found
The page you are looking for might have been removed, had its name changed, or is temporarily unavailable.
Back to homepage
%%
Please enable JavaScript to view this page. Enable JavaScript and cookies to continue. Checking your browser before \
accessing the site. This process is automatic. Your browser will redirect shortly.
%%
Previous post
Next post
Leave a reply
Your email address will not be published. Required fields are marked *
Comment *
Name *
Email *
Website
Save my name, email, and website in this browser for the next time I comment.
Post Comment
%%
Page 1 of 14
1 2 3 4 5 6 7 8 9 10 ... 14 Next >
Sort by: Relevance | Newest | Price low to high | Price high to low
Show 24 | 48 | 96
Filter: Colour Size Brand Rating
%%
CONFIDENTIALITY NOTICE: This e-mail and any attachments are intended only for the use of the addressee and may \
contain legally privileged information. If you are not the intended recipient, you are hereby notified that any \
dissemination, distribution or copying is strictly prohibited. If you have received this message in error, please \
notify the sender immediately and delete it.
%%
Add to cart
Add to wishlist
Compare
Free shipping on orders over $50
30-day returns
In stock
SKU: 44871-B
Category: Lamps
Tags: brass, desk, reading
Description
Additional information
Reviews (0)
There are no reviews yet.
Be the first to review this product
%%
Advertisement
Advertisement
Continue reading below
Advertisement
Story continues after the ad
Advertisement
Most popular
Advertisement
%%
Disclaimer: The information on this website is provided for general purposes only and does not constitute advice. We \
make no representations or warranties of any kind, express or implied, about the completeness, accuracy, \
reliability, suitability or availability of the website. Any reliance you place on such information is therefore \
strictly at your own risk. In no event will we be liable for any loss or damage arising from the use of this \
website. All trademarks are the property of their respective owners.
%%
Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna \
aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat.
%%
Room available. Contact the owner for details.
Room available. Contact the owner for details.
Room available. Contact the owner for details.
Room available. Contact the owner for details.
Room available. Contact the owner for details.
Room available. Contact the owner for details.
%%
Monday: Closed
Product 1 - View details - Add to basket
Product 2 - View details - Add to basket
Product 3 - View details - Add to basket
Product 4 - View details - Add to basket
Product 5 - View details - Add to basket
Product 6 - View details - Add to basket
%%
You have reached your limit of free articles this month. Subscribe now for unlimited access. Already a subscriber? \
Log in. Subscribe for $1 a week. Cancel anytime. See all subscription options.
%%
Board index ‹ General ‹ Off topic
FAQ • Register • Login
Unanswered topics
Active topics
Mark forums read
Who is online: No registered users and 3 guests
All times are UTC
Delete cookies
Powered by phpBB
%%
* [Alabama](/s/al)
* [Alaska](/s/ak)
* [Arizona](/s/az)
* [Arkansas](/s/ar)
* [California](/s/ca)
* [Colorado](/s/co)
* [Connecticut](/s/ct)
* [Delaware](/s/de)
%%
Tweet
Pin it
Share on LinkedIn
Copy link
0 Comments
Recommended for you
Promoted links by Clickbarn
%%
Thank you for contacting us. This is an automated response to let you know that we have received your message. \
Please do not reply to this email, as this mailbox is not monitored. To unsubscribe from these notifications, click \
here. View this email in your browser.
%%
Cookie settings
Strictly necessary cookies: Always active
Performance cookies: Off
Functional cookies: Off
Targeting cookies: Off
Confirm my choices
Allow all
%%
Copyright (c) 2016, the authors. Redistribution and use in source and binary forms, with or without modification, \
are permitted provided that the above notice is retained. THIS SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY \
KIND, EXPRESS OR IMPLIED. Terms | Privacy | Cookies
%%
Menu
Close
Starters
Mains
Desserts
Drinks
Book a table
Find us
Gallery
We loved the view from table nine.
Privacy policy
Cookie policy
Website by Tall Pine Studio
%%
Edit
History
Watch
What links here
Related changes
Special pages
Printable version
Permanent link
Page information
Cite this page
Download as PDF
In other projects
Languages
%%
var _gaq = _gaq || []; _gaq.push(['_setAccount', 'UA-0000000-1']); _gaq.push(['_trackPageview']); (function() { var \
ga = document.createElement('script'); ga.async = true; document.body.appendChild(ga); })();
Accept cookies
Skip to content
Toggle navigation
""")

ITEMS: list[Planted] = numbered("held-boilerplate", BOILERPLATE, "boilerplate")
