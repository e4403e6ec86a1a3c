r"""Phrases that run a web page, in English: sign-up, scripts, paywalls, removals, forms, shops, frames of articles.

Written and read as said in `boilerplate_phrases`. Classes and wording are ours; which classes there are follows the
published line rules of C4 (arXiv:1910.10683, section 2.2) and RefinedWeb (arXiv:2306.01116, appendix G.2).
"""

_SIGN_UP = r"""
    (?:sign up|subscribe|register|join)(?: now| today| here| below| free)* (?:for|to) (?:our |the |my )?
        (?:\w+ ){0,3}(?:<letter>|channel|feed|list|blog)
    (?:get|receive) (?:our |the )?[\w' ]{0,40}(?:<letter>|(?:straight |right |directly )?(?:to|in
        |into) your inbox)
    be (?:the |among the )?first to (?:know|hear|get|see|read|learn|comment|review|like|write)
    save \d+ ?(?:%|percent) on
    (?:your (?:e-?mail )?address|your e-?mail|the form|your details) below
    to be on (?:the|our) (?:\w+ )?list
    (?:if you (?:enjoy|like|lov)\w* (?:this|our)|please) .{0,30}\b(?:share|subscribe|donate|support us|leave a
        |buy (?:me|us|the))\b
    we (?:send|e-?mail|publish|post) (?:you )?(?:out )?(?:a |an |our )?(?:\w+ )?(?:mail|e-?mail|newsletter
        |update|digest)\w*
    to all (?:our )?subscribers
    new (?:posts|episodes|articles|videos|issues) (?:go|come|every|each|are|appear)
    in (?:your|the) inbox (?:every|each|once|on|daily|weekly)
    our (?:best|latest|top) (?:stories|articles|posts|news|recipes|offers)
    ^\W*(?:get|receive) (?:the |our )?(?:latest|best|exclusive|weekly|daily|free|instant)\b
    ^\W*(?:love|like|enjoy)(?:ed|ing)? (?:what you|this|our|the) (?:\w+ )?(?:read|see|hear|episode|article|post
        |story|video|show)
    (?:leave|give) us (?:a|your) (?:\w+ )?(?:rating|review|feedback|comment)
    wherever you (?:get|listen to) (?:your )?podcasts
    ^\W*(?:subscribe|sign up|register) (?:to|for) (?:our|the|full|free|unlimited|updates|more)
    (?:straight|right|directly|delivered)\b.{0,30} (?:to|in|into) your (?:inbox|mailbox|e-?mail)
    (?:enter|type|leave|submit|provide) your (?:e-?mail|name|address|details)\b
    (?:you can |to )?(?:unsubscribe|opt out)\b.{0,40}\b(?:any ?time|here|with one click|below)
    (?:never|don'?t) miss (?:a|an|another|any|out on) (?:\w+ )?(?:stor|post|updat|issue|episode|deal|upload
        |thing|new)
    you(?:'re| are) receiving this
    thank(?:s| you) for (?:subscribing|signing up|registering|joining us)
    confirm your (?:subscription|e-?mail|registration|account)
    view this (?:e-?mail|message) in your browser
    join (?:the |our |over |more than )*[\d,.]+\+?k? (?:other )?(?:readers|subscribers|people|members|others
        |fans)
    no spam,? (?:ever|we promise|unsubscribe)
    we (?:never|will never|won'?t|do not) (?:spam|share your|sell your)
    (?:don'?t|do not) forget to (?:like|subscribe|share|follow|hit)
    like,? (?:comment,? )?(?:and|&) subscribe
    (?:like|follow|find|join|visit) us on \w+
    (?:hit|ring|smash) the (?:\w+ )?(?:bell|like|subscribe)
    (?:share|send) this (?:\w+ )?(?:with (?:your|a) friends?|on \w+|via|to your)
    ^\W*(?:thanks|thank you) for (?:watching|reading|listening|visiting)\b
"""
_SCRIPT = r"""
    (?:enable|activate|turn on|allow|requires?) (?:your )?(?:java ?scripts?|cookies)\b.{0,60}\b(?:to|in|for
        |your|browser|enabled|and)\b
    not (?:work|function|load|display)\w* (?:\w+ )?without java ?script
    this (?:page|feature|site) needs
    java ?script (?:is|must be|has to be|seems to be|appears to be|needs to be) (?:\w+ )?(?:disabled|enabled
        |required|off|turned)
    your (?:web )?browser (?:does not|doesn'?t|will|is|must|has|may|needs)\b.{0,40}\b(?:support|redirect|out
        |javascript|old|frames|html|video|audio|cookies|enabled)
    (?:using|have) an? (?:outdated|unsupported|old) (?:version of your )?browser
    upgrade your (?:web )?browser
    (?:disable|turn off|pause|switch off|whitelist)\b.{0,30}\bad ?-?block\w*
    ad ?-?blocker (?:detected|is|enabled)
    using an ad ?-?block
    ads (?:help|allow|let|keep) us
    (?:keep|keeps) (?:this|our) (?:site|service|content) free
    (?:turning|switching) (?:it|ad) ?(?:blocker )?off (?:for|on)
    session (?:has )?(?:expired|timed out)
    log ?(?:in|on) again
    press (?:enter|esc|escape|tab) to
    use the arrow keys
    skip to (?:\w+ )?content
    toggle (?:navigation|menu)
    opens in (?:a )?new
    (?:verif\w+|prove|confirm\w*|make sure) (?:that )?you(?:'re| are) (?:a )?(?:not a robot|human)
    checking your browser
    please wait (?:while|a moment|\.\.\.)
    your request is being
    ddos protection
    ^\W*loading(?: comments| more| page)?(?:,? please wait)?\W*$
"""
_PAYWALL = r"""
    (?:is|are) (?:only )?(?:available|reserved|exclusive(?:ly)?|for)(?: only| exclusively)? (?:to|for)? ?
        (?:our |the )?(?:\w+ )?<paid>(?: only)?
    <paid>[ -](?:only|exclusive)(?: content| article)?
    (?:log ?in|sign in|subscribe|register|sign up|join|pay|upgrade)(?: now| today| or \w+)?,? (?:to
        |and) (?:continue|keep|read|unlock|view|access|see|get (?:full|unlimited)|reply|comment|post|download)\b
    to (?:continue|keep|read|unlock|view|access|see) (?:reading|this|the|full)\b.{0,40}\b(?:subscri|log ?in
        |sign|regist|member|account)\w*
    (?:free|\d+) (?:free )?(?:articles?|stories|views?|reads?)\b.{0,20}\b(?:left|remaining|month|unlock
        |subscri)\w*
    \d+ of \d+ free
    ^\W*(?:unlock|get unlimited|read unlimited|try) (?:\w+ ){1,4}(?:free|subscription|for|with|access|now)\b
    with an? (?:\w+ )?(?:subscription|membership|premium account)
    one month free
    first month (?:free|for)
    (?:days?|month) free trial
    to (?:registered|logged[ -]in|signed[ -]in|paying|premium) (?:users|readers|members|customers)
    register (?:for )?free
    already (?:subscribed|registered|signed up)
    (?:full|unlimited|digital|instant|all) (?:digital |online )?access\b
    (?:this is a |for )(?:premium|exclusive|subscriber|members?)\b.{0,20}(?:article|content|story|feature|only)
    (?:create|set up|make) (?:a|an|your) (?:free )?(?:account|profile)
    you(?:'ve| have) (?:reached|hit|used|read)\b.{0,40}\b(?:limit|free)\b.{0,30}(?:articles?|stories|views?
        |month)
    (?:free|remaining) (?:articles?|stories) (?:left|remaining|this month)
    already (?:a|have an?) (?:\w+ )?(?:subscri|member|account|regist)\w*
    not (?:yet )?a (?:\w+ )?(?:member|subscriber)
    start (?:your|a) (?:\w+[ -]){0,3}(?:trial|subscription|membership)
    cancel (?:at )?any ?time
    support (?:our|independent|quality|local) (?:\w+ )?(?:journalism|work|reporting|newsroom)
    become an? (?:\w+ )?(?:member|subscriber|patron|supporter)\b
"""
_REMOVED = r"""
    (?:your|this|the|that) <post> (?:has been|was|is|were|have been) (?:\w+ )?(?:removed|deleted|suspended
        |banned|locked|closed|archived|withheld|hidden|flagged|private|unavailable|no longer available
        |not available|blocked)
    ^\W*(?:<post> )?(?:removed|deleted|withdrawn|hidden|locked) (?:by|for|due to|because of
        |at the request of) .{1,80}$
    (?:am|is) a bot\b.{0,10}(?:and|action|,)
    (?:action|message|comment) was (?:performed|posted|sent|made) automatically
    (?:user|account|author|poster|member) (?:has been|was|is) (?:\w+ )?(?:banned|suspended|muted|removed
        |deleted)
    ^\W*(?:removed|deleted|locked|closed) ?[:\u2013-]
    comments (?:on|for|to) this (?:\w+ )?(?:are|have)
    see rule \d
    (?:breaks|broke|per|under) rule \d
    (?:could|can) ?(?:not|n't) (?:load|be loaded|be displayed|connect|process your)
    (?:refresh|reload) (?:the|this) page
    moderators? (?:may |can |will |reserve |also )?(?:remove|delete|lock|review)
    (?:was|been|were) (?:\w+ )?removed (?:by|from) (?:the |our )?(?:moderat|mods|admin|author|user|youtube
        |reddit)\w*
    (?:has|have|was|were) (?:been )?automatically (?:removed|filtered|deleted)
    (?:posts|comments|accounts|users|offenders)\b.{0,40}\bwill be (?:removed|deleted|banned|blocked|reported
        |locked)
    (?:contact|message|ask) the (?:moderators?|mods|mod team|administrators?|site owner|webmaster)\b
    no (?:further|new|more) (?:repl|comment|post|answer)\w* (?:are|is|can|will|may)
    comments are (?:closed|off|disabled)
    violat(?:es?|ed|ing|ion of) (?:our|the|one of our|this) (?:\w+ ){0,3}(?:rules?|guidelines?|polic\w+|terms)
    no longer (?:available|exists?)\b
    (?:may|might) have (?:been )?(?:moved|removed|deleted|never existed)
    (?:page|file|url|content|requested \w+)(?: that)?(?: you\W?(?:re| are) looking for)? (?:could not|cannot
        |can'?t|was not|not|does not|doesn'?t|isn'?t) (?:be )?(?:found|exist|available)
    ^\W*(?:error )?(?:404|403|500|502|503)\b.{0,60}
    access (?:is |was )?denied
    something went wrong
    try again later
    (?:not|don'?t) have (?:permission|access|the rights)
    (?:not available|unavailable) in your (?:country|region|location)
    (?:read|review|see|follow) (?:the|our) (?:\w+ )?(?:rules|guidelines|faq|wiki)(?: before \w+ing)?
        (?: again)?\W*$
    report this (?:post|comment|ad|page|user|abuse)
"""
_FORMS = r"""
    e-?mail address will not be (?:published|shared)
    required fields
    save my name
    (?:you )?(?:must|need to|have to) (?:be )?(?:log(?:ged)? ?in|sign(?:ed)? in|registered|register)\b
    (?:leave|post|add|write|submit|cancel) (?:a|your)? ?(?:comment|reply|review)\b.{0,20}$
    be the first to \w+
    this (?:entry|post|article|item) was (?:posted|published|filed|tagged|written|last)
    bookmark the permalink
    (?:notify|alert) me of (?:new|follow)
    (?:fill in|fill out|complete) the form
    click (?:here|on the link|the link|below)
    was this (?:page|article|answer|information|review) helpful
    (?:send|give|leave) (?:us )?(?:your )?feedback
    edit this page
    ^\W*(?:keep|stay) (?:me )?(?:logged|signed) in
    (?:forgot|forgotten|lost) your (?:user|pass|e-?mail)
    reset (?:your|my) password
    (?:continue|log ?in|sign (?:in|up)) with (?:google|facebook|apple|e-?mail|twitter)
    (?:don'?t|do not) have an account
    (?:read|view|see) the (?:full|whole|original|complete|rest of the) (?:article|story|post|text|entry
        |version)\b.{0,8}$
    (?:read|view|see) the (?:full|whole|original) (?:article|story|post) (?:here|at|on)
    continue reading
    go to (?:the |our )?home ?page
    share (?:on|to) (?:twitter|facebook|x|linkedin|reddit|pinterest|whatsapp)
    ^\W*like (?:this|loading)
    ^\W*(?:no|0|zero) (?:comments?|responses?|repl\w+)\b.{0,10}$
    ^\W*share this\W*$
    uncategorized
    (?:return|go back|back) to (?:the |our )?(?:home ?page|top|previous page|main page)
    use the search
    ^\W*(?:posted|written|published|updated|submitted|uploaded) (?:by|on|in) .{1,60}$
    ^\W*last (?:updated|modified)\b.{0,40}$
    ^\W*\d+ (?:min(?:ute)?s? read|comments?|repl\w+|views?|likes?|shares?)\W*$
"""
_SELLING = r"""
    affiliate links?\b.{0,80}\b(?:earn|commission|purchase|cost|disclosure)
    (?:may|might) contain affiliate
    as an amazon
    (?:earn|receive) (?:a |an )?(?:small |affiliate )?(?:commissions?|from qualifying)
    at no (?:extra|additional) cost to you
    (?:download|get) (?:our|the) (?:free |mobile |new )*app\b
    app ?store (?:or|and|&) google
    on google play
    \d+ ?% off (?:your|all|every|everything|on)
    free (?:shipping|delivery|returns) (?:on|for|over)
    your (?:cart|basket) is
    (?:order|orders) (?:before|over|above|within)\b
    (?:next|same)[ -]day (?:dispatch|delivery|shipping)
    secure (?:checkout|payment)
    ^\W*\d+[ -]days? (?:returns?|money)
    money[ -]back guarantee
    (?:add|added) to (?:your )?(?:cart|basket|bag|wish ?list)
    use (?:the |our )?(?:promo |discount |coupon )?code \w+
    (?:while|until) (?:stocks?|supplies) lasts?
    (?:buy|order|shop|book|call|learn more|find out more|enquire|apply|donate) (?:now|today)\W*$
    links? (?:are )?in (?:the )?(?:description|bio)
    (?:buy|order) (?:it|yours|one) (?:now|today)
    limited time (?:only|offer)
    (?:to )?(?:learn|find out|read|discover) more,? (?:about|on|at|by|click|visit)?.{0,30}$
"""
_PAGE_FRAME = r"""
    ^\W*(?:proudly )?(?:powered|hosted|designed|built|developed) (?:by|with|in|on) .{1,50}$
    (?:theme|template) (?:by|:)
    ^\W*(?:story )?continues? (?:reading )?(?:below|after)\b.{0,30}$
    ^\W*(?:article|story) continues
    ^\W*(?:you (?:may|might)(?: also)? (?:like|be interested)|recommended(?: for you| reading
        | articles)?)\b.{0,40}$
    ^\W*(?:related|similar|recent|latest|popular|trending|featured|top|more|most (?:popular|read|viewed)
        |other)(?: (?:articles?|posts?|stories|news|products?|topics?|searches|items|videos?|links|content|comments
        |now|from .{1,30}|in .{1,20}))*\W*$
    ^\W*(?:sponsored|promoted|paid)(?: (?:content|post|links?|by .{1,30}|stories))?\W*$
    ^\W*advertise(?:ment)?\b.{0,20}$
    ^\W*(?:photo|image|picture|credit|source)s?(?: credit| by)? ?[:/] .{1,60}$
    lorem ipsum
    nemo enim ipsam
    quis autem vel
    at vero eos
    temporibus autem
    nam libero tempore
    dolor sit amet
    consectetur adipiscing
    sed do eiusmod
    ut enim ad minim
    quis nostrud
    duis aute irure
    excepteur sint
    in culpa qui
    placeholder text\W*$
    your (?:text|title|content) (?:goes )?here
"""
PAGE_PHRASES = (_SIGN_UP, _SCRIPT, _PAYWALL, _REMOVED, _FORMS, _SELLING, _PAGE_FRAME)
"""Blocks of patterns, one class each."""
