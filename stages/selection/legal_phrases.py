r"""Phrases of notices with a legal purpose, in English: consent, rights, terms, confidentiality; patterns by class.

Written and read as said in `boilerplate_phrases`. Classes and wording are ours; which classes there are follows the
published line rules of C4 (arXiv:1910.10683, section 2.2) and RefinedWeb (arXiv:2306.01116, appendix G.2).
"""

_CONSENT = r"""
    (?:we|<ours>|our partners)(?: and our [\w ]{1,30})? (?:may |also |can )*(?:use|uses|set|store|place)s?
        (?: and/?(?:or)? \w+)? [\w, ]{0,30}\b(?:cookies|information on (?:a|your) device|tracking technologies)
    (?:consent|agree|object) to (?:our |the |this |all )*(?:use|storing|placing|usage)? ?(?:of )?
        (?:our |all )?cookies
    by (?:continuing|using|clicking|closing|accessing|visiting|scrolling|browsing|submitting|signing
        |registering|subscribing|creating)\b.{0,90}\byou(?:'re| are)?(?: \w+)? (?:agree|consent|accept|acknowledg
        |confirm|giv)\w*
    (?:withdraw|change|manage|update|review) your (?:\w+ )?(?:consent|choices|preferences|(?:cookie )?settings)
    (?:necessary|essential|functional|analytic(?:s|al)|performance|marketing|targeting) cookies (?:are|help
        |allow|let|cannot|may)\b
    cookies (?:help us|allow us|let us|enable us|are used (?:to|by us)|must be enabled)
    we (?:value|respect|care about|take) your (?:privacy|data)
    (?:see|read|view|find out more in|learn more in|more information in) our (?:\w+ )?(?:privacy|cookies?) \w+
    (?:accept|allow|about|manage) (?:our |all |the )?cookies\?
    you (?:may|can) object to
    ip addresses and (?:\w+ )?identifiers
    (?:our|third[ -]party|advertising) (?:\w+ )?partners\b.{0,40}\b(?:process|collect|store|use|access|share
        |may)\b
    (?:show|serve|display|deliver|select|measure) (?:you )?(?:\w+ ){0,2}(?:ads|advertis\w+|products|offers)\b
    to (?:personali[sz]e|improve) (?:your (?:\w+ )?experience|content and ads)
    (?:give|offer|provide|ensure|get) (?:you )?(?:with )?the best (?:possible |user )?experience
    do not sell (?:or share )?my (?:personal )?(?:info\w*|data)
    legitimate interests?\b.{0,60}\b(?:vendors?|partners?)
    \b(?:accept|reject|decline|allow) all (?:cookies)?
"""
_COPYRIGHT = r"""
    all (?:other )?rights (?:are )?reserved
    (?:copyright|\u00a9|\(c\)) ?(?:\u00a9|\(c\))? ?(?:19|20)\d\d\b
    (?:may|must|can) not be (?:\w+,? ){0,8}(?:reproduced|republished|redistributed|reprinted|rewritten
        |rebroadcast)
    without (?:the )?(?:prior|express|written)(?:,? (?:and )?(?:express|written|prior))* (?:permission|consent
        |authori[sz]ation|approval)
    unauthori[sz]ed (?:\w+,? ){0,5}(?:copying|use|reproduction|duplication|distribution
        |access)\b.{0,80}prohibited
    (?:property|(?:registered )?trademarks?) of (?:their|its) respective (?:owners?|holders?|compan\w+)
    (?:republished|reprinted|reproduced|used|syndicated) (?:here )?(?:with|by) (?:kind )?permission (?:of|from)
    (?:photo\w*|images?|articles?|texts?|contents?|materials?|logos?|designs?)\b.{0,40}\b(?:is|are
        |remains?) (?:the )?(?:\w+ )?(?:property|copyright\w*|trademarks?)\b
    (?:are|is) (?:registered )?trademarks? of
    (?:personal|private)(?:,? (?:and |or )?non-?commercial) (?:use|purposes)
    (?:licen[sc]ing|permissions?|reprint) (?:enquir|inquir|request)\w*
    (?:any other|commercial|further) (?:use|reproduction)\b.{0,20}\b(?:requires?|is|needs?)
    (?:requires?|needs?|with|without) our (?:\w+ )?(?:consent|permission|approval)
    (?:reproduction|copying|duplication|republication|redistribution) (?:\w+ ){0,6}(?:without
        |is (?:strictly )?(?:prohibited|forbidden|not))
    (?:in whole or in part|in any form or by any means)
    (?:protected by|subject to) (?:international |intellectual )?(?:copyright|property)
    (?:must|may) not be used without
    ^\W*(?:copyright|\u00a9|\(c\)) (?:by )?(?-i:[A-Z\u00c0-\u00dd0-9])
    registered (?:office|charity|company|trademarks?)\b
    vat (?:no|reg|number)
    registered in (?:england|scotland|ireland)\b.{0,60}\b(?:number|no)\b
"""
_TERMS = r"""
    (?:you agree|agree) to be bound by
    agree to (?:our|the|these) (?:\w+ )?(?:terms|privacy|conditions)
    (?:we|the company) reserves? the (?:sole )?right (?:to|at)
    (?:governed|construed) (?:by|in accordance) (?:and \w+ )?
    provisions? of (?:this|these) (?:\w+ )?(?:terms|agreement)
    not (?:\w+ )?(?:affiliated|associated|connected) with (?:or|,|any|the)
    endorsed by (?:any|or|the)
    brand names? (?:are|is)
    (?:offer|valid|prices?|promotion|discount|voucher|coupon)s? (?:is |are )?(?:valid|ends?|until|only|expires?
        |applies|for new)
    cannot be (?:combined|exchanged|redeemed|used with)
    exclusions (?:may )?apply
    new customers only
    one per (?:person|customer)
    (?:accepts?|accept any) (?:\w+ )?liability
    the author(?:s|\(s\))? alone
    (?:opinions?|views?) (?:expressed|in (?:it|this))
    reserves? the right to (?:alter|change|modify|cancel|refuse|amend|remove|terminate|limit|update|edit)
    (?:you are|users? (?:is|are)) (?:solely )?responsible for (?:safeguarding|maintaining|keeping|any|all|your)
    not responsible for (?:the )?(?:content|accuracy|errors|omissions|external|third|typo|lost)
    subject to (?:availability|status)
    non-?refundable
    (?:is|are) (?:owned and )?operated by
    prices (?:include|exclude|are subject|in)
    no purchase necessary
    (?:continued|your) use of (?:this|the|our) [\w ]{1,20}(?:constitutes|signifies|means|is subject to
        |indicates)
    in no event (?:shall|will)
    (?:shall|will|can) not be (?:held )?(?:liable|responsible) for
    (?:accepts?|assumes?|takes?) no (?:liability|responsibility)
    makes? no (?:warrant|representation|guarantee)\w*
    (?:is|are) provided \W?as[ -]is\b
    without warranty of any kind
    terms (?:and|&) conditions apply
    terms of (?:service|use) apply
    protected by recaptcha
    subject to change without
    for (?:general |educational )?(?:information(?:al)?|educational|entertainment)(?: and \w+)? purposes only
    not (?:intended |meant )?(?:as |to be )?(?:a )?substitute for (?:\w+ )?(?:professional|medical|legal)
    (?:always )?seek the advice of (?:a|your) (?:\w+ )?(?:\w+)
    (?:does|do) not (?:necessarily )?(?:represent|reflect) (?:those|the (?:views|opinions?|official)) of
    past performance is (?:not|no)
    not (?:constitute )?(?:financial|investment|legal) advice
"""
_CONFIDENTIAL = r"""
    this <mail>(?: message)?(?:,? (?:and|including|or|together with)\b.{0,50})?,? (?:is|are|may|contains?|was
        |has) (?:\w+ ){0,3}(?:confidential|privileged|intended|sent|contain|monitored|scanned|virus)
    (?:are|is|be|am) not (?:the|an) (?:intended|named) (?:recipient|addressee)
    intended (?:solely|only|exclusively)? ?for (?:the )?(?:sole |exclusive )?(?:use|addressee|named|person
        |individual)
    (?:individual|person|party)(?:\(s\))? or (?:entity|entities|organi[sz]ation)
    (?:received|receive|get) (?:this|it)(?: <mail>)? (?:in error|by mistake)
    (?:notify|inform|contact|advise) the sender (?:immediately|at once|by|and)
    confidentiality (?:notice|disclaimer)
    (?:consider|think of|think about) the (?:environment|trees|planet) before printing
    before printing this <mail>
    (?:received|receive|get) (?:this|the) (?:mail|letter|fax|transmission)? ?(?:in error|by mistake)
    destroy (?:all|any) copies
    any (?:\w+,? (?:or |and )?){1,6}(?:is|are) (?:strictly )?(?:prohibited|forbidden|not permitted)
    ^\W*sent from my \w+
    ^\W*get outlook for
"""
LEGAL_PHRASES = (_CONSENT, _COPYRIGHT, _TERMS, _CONFIDENTIAL)
"""Blocks of patterns, one class each."""
