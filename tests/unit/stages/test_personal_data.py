import re
from collections import Counter
from pathlib import Path

import pytest

from stages.selection.checked_numbers import iban_holds, luhn
from stages.selection.personal_data import KINDS, find, mask

SNIPPETS = Path(__file__).with_name("personal_data_snippets.txt")
MARK = re.compile(r"<<(\w+)\|(.*?)>>")


def labelled():
    """Return each snippet with what is to be found in it: (kind, start, end)."""
    out = []
    for line in SNIPPETS.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        text, wanted, at = "", [], 0
        line = line.replace("\\n", "\n")
        for m in MARK.finditer(line):
            text += line[at : m.start()]
            wanted.append((m[1], len(text), len(text) + len(m[2])))
            text, at = text + m[2], m.end()
        out.append((text + line[at:], wanted))
    return out


def masked(text, region="US"):
    return mask(text, find(text, region))


def test_precision_and_recall_of_each_kind_on_the_labelled_snippets():
    right, found, wanted = Counter(), Counter(), Counter()
    for text, expected in labelled():
        got = {(f.kind, f.start, f.end) for f in find(text, "US")}
        found.update(kind for kind, _, _ in got)
        wanted.update(kind for kind, _, _ in expected)
        right.update(kind for kind, _, _ in got & set(expected))
    for kind in KINDS:
        print(f"{kind:7} precision {right[kind] / found[kind]:.3f} recall {right[kind] / wanted[kind]:.3f}")
        assert wanted[kind] >= 8 and min(right[kind] / found[kind], right[kind] / wanted[kind]) >= 0.95, kind


def test_the_labelled_snippets_are_many_and_half_of_them_hold_nothing():
    counts = Counter(bool(expected) for _, expected in labelled())
    assert sum(counts.values()) >= 200 and counts[False] >= counts[True]


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("4111111111111111", True), ("4111111111111112", False), ("79927398713", True), ("79927398710", False)],
)
def test_luhn_sum(digits, expected):
    assert luhn(digits) is expected


@pytest.mark.parametrize(
    ("iban", "expected"),
    [
        ("GB82WEST12345698765432", True),
        ("gb82west12345698765432", True),
        ("GB82WEST12345698765433", False),
        ("GB82WEST1234569876543", False),
        ("XX82WEST12345698765432", False),
    ],
)
def test_iban_length_and_sum(iban, expected):
    assert iban_holds(iban) is expected


def test_what_is_found_is_replaced_by_its_kind_and_the_rest_stays():
    assert masked("Mail jo@example.com, or call (617) 555-0155!") == "Mail [EMAIL], or call [PHONE]!"
    assert masked("u/jo paid DE89370400440532013000 from 203.0.113.5") == "u/jo paid [IBAN] from [IP]"


def test_a_link_that_shows_a_users_name_is_masked_with_the_name():
    assert masked("by [pan_fried](https://www.reddit.com/user/pan_fried)") == "by [HANDLE]"


def test_a_number_in_an_iban_is_no_card_and_no_phone_number():
    assert [f.kind for f in find("IBAN AT61 1904 3002 3457 3201", "AT")] == ["iban"]


def test_numbers_without_country_code_are_read_in_the_region():
    text = "Ring 020 7946 0958 in London."
    assert masked(text, "GB") == "Ring [PHONE] in London." and masked(text, "US") == text


def test_only_the_kinds_asked_for_are_found():
    assert [f.kind for f in find("jo@example.com u/jo_fixes", "US", ("handle",))] == ["handle"]


@pytest.mark.parametrize("piece", ["1 ", "a@", "@a", "4111 ", "2001:", "(at)", "http://", "[a](/u/", "call ", "a."])
def test_long_repetitions_take_no_more_than_a_moment(piece):
    assert len(find(piece * 20_000, "US")) <= 20_000


def test_four_numbers_that_are_no_address_are_left():
    assert masked("The host 999.1.1.1 does not answer.") == "The host 999.1.1.1 does not answer."


def test_the_end_of_mail_addresses_is_no_handle():
    text = "Anybody with an address @mail.example.com may write."
    assert masked(text) == text


def test_a_number_of_two_groups_is_taken_where_it_is_written_so():
    assert masked("Das Buero hat 030 901820 und ist offen.", "DE") == "Das Buero hat [PHONE] und ist offen."


def test_a_number_of_no_country_is_left():
    assert masked("Entry 00999 1234567 of the list") == "Entry 00999 1234567 of the list"
