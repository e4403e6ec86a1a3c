"""Tell whether an `@name` in a text stands in code or markup of comments, where it names no person.

Told by what stands round it: a fence or backticks, a decorator above a definition, an assignment or a query, and by
names that programming languages and documentation tools own. It does not parse any language; code that looks like prose
is taken for prose.
"""

from __future__ import annotations

import re

_WORDS_AFTER_AT = """
    override deprecated suppresswarnings functionalinterface test before after beforeeach aftereach beforeall afterall
    autowired component service controller restcontroller repository entity table column id bean configuration
    springbootapplication getmapping postmapping requestmapping transactional data getter setter builder nullable
    notnull param params return returns throws see since version author link code inheritdoc type typedef property
    staticmethod classmethod dataclass abstractmethod cached_property wraps pytest patch app media import font-face
    keyframes include mixin extend charset supports page layer container apply tailwind interface implementation
    protocol selector class synthesize strong weak objc main mainactor state binding published observedobject
    environment escaping discardableresult everyone here channel all home work school gmail hotmail yahoo outlook
    latest next beta rest dev echo off on safevarargs inject singleton module provides injectable directive input
    output viewchild
    requestparam pathvariable requestbody responsebody requestheader putmapping deletemapping patchmapping qualifier
    primary lazy scheduled async cacheable onetomany manytoone manytomany joincolumn generatedvalue notblank notempty
    jsonproperty jsonignore mock mockbean injectmocks parameterizedtest displayname timeout composable preview
    jvmstatic jvmoverloads allargsconstructor noargsconstructor requiredargsconstructor slf4j nonnull volatile
    example default license private public protected static event fires callback namespace memberof constructor extends
    augments brief file ingroup internal todo exception property-read covers group dataprovider
    functools abc unittest click celery router contextmanager overload final njit jit cython tf numba lru_cache cache
"""
_NOT_NAMES = frozenset(_WORDS_AFTER_AT.split())
_ATTRIBUTE = re.compile(
    r"\.(?:setter|getter|deleter|route|get|post|put|delete|patch|command|group|option|argument|fixture|mark|task|register"
    r"|errorhandler|callback|event|listener|parametrize|wraps|cache|property|before_request|on)$"
)
_HOST = re.compile(
    r"(?:\.|-)(?:com|org|net|edu|gov|info|example|co\.uk|ac\.uk|de|fr|it|nl|at|ch|se|no|dk|fi|pl|eu|us|uk|ca|au|jp|in)$",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"\s*\n(?:[ \t]*@[^\n]*\n){0,5}[ \t]*(?:(?:async |export |default |public |private |protected "
    r"|internal |static |final "
    r"|abstract |open |override |suspend )*(?:def|class|fun|func|function|interface|enum|record|void|struct)\b"
    r"|(?:public|private|protected) \w)"
)
_ASSIGNED = re.compile(r"(?:\[[^\]\n]{0,40}\]|\.\w+)?\s*(?:[-+*/|&:]{0,2}=(?!=)|<<)")
_TYPE_AFTER = re.compile(
    r"[ \t]+(?:(?:as )?(?:n?varchar|int|integer|bigint|bit|datetime|date|decimal|float|table)\b(?=[\s(=;,]|$)"
    r"|[A-Z]\w*(?:<[^>\n]{1,40}>)? [a-z]\w*\s*[,;)=])",
)
_QUERY = re.compile(r"(?:^|\s)(?:DECLARE|SELECT|WHERE|INSERT|UPDATE|EXEC(?:UTE)?|VALUES|FETCH|PRINT)\s")
_STATEMENT = re.compile(
    r"^\s*(?:(?:push|unshift|shift|pop|foreach|scalar|keys|splice)\b|[$%]\w+\s*=)|[)\]\w];\s*$|[{}]\s*$"
)
_INDENTED = re.compile(r"(?: {4}|\t)")


def is_code_name(text: str, start: int, name: str) -> bool:
    """Return whether the `@name` whose `@` stands at `start` names something in code, a mail host or a group."""
    first = name.split(".")[0].lower()
    if name.lower() in _NOT_NAMES or first in _NOT_NAMES or _ATTRIBUTE.search(name):
        return True
    end = start + 1 + len(name)
    if _is_host(text, start, end, name):
        return True
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    line = text[line_start : line_end if line_end >= 0 else len(text)][:1000]
    if _INDENTED.match(line) or text.count("```", 0, start) % 2 or _is_quoted(line, start - line_start):
        return True
    if not text[line_start:start].strip() and _DEFINITION.match(text, end):
        return True
    if _ASSIGNED.match(text, end) or _TYPE_AFTER.match(text, end):
        return True
    return bool(_QUERY.search(line) or _STATEMENT.search(line))


def _is_host(text: str, start: int, end: int, name: str) -> bool:
    """Return whether it is the end of mail addresses, as in `any address @example.com`; the host may have a hyphen."""
    rest = re.match(r"[\w.-]*", text[end : end + 60])
    return bool(_HOST.search((name + (rest[0] if rest else "")).rstrip(".-"))) and "." in name + (
        rest[0] if rest else ""
    )


def _is_quoted(line: str, at: int) -> bool:
    return bool(line.count("`", 0, at) % 2 and "`" in line[at:])
