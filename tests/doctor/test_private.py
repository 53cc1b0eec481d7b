"""What has the shape of personal data or of a secret is found, what only looks like it is not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.doctor.names import Names
from tunesmith.doctor.personal import is_card, is_iban, personal
from tunesmith.doctor.private import Pseudonyms, Scanner
from tunesmith.doctor.secrets import entropy, secrets
from tunesmith.doctor.spans import Span, apart

FOUND = {
    "Write to maria.gomez+x@mail.example.co.uk today": "e-mail",
    "Call +49 (0)89 1234-5678 now": "phone",
    "Call 030 1234567 now": "phone",
    "Reach us: (805) 843-2222x17": "phone",
    "My phone number is 4432198.": "phone",
    "Send it to DE89 3704 0044 0532 0130 00 THANK YOU": "IBAN",
    "gb82west12345698765432": "IBAN",
    "paid with 4111 1111 1111 1111 at noon": "card",
    "SSN 536-22-1234 on file": "social security number",
    "from 192.0.2.146 at night": "IP address",
}
HARMLESS = (
    "DE89 3704 0044 0532 0130 02 has a wrong digit",
    "on 12.03.2019 or 2020-05-17 12:30 we met",
    "1,234,567 people and 3.14159265 and 12 345 678 stars",
    "version 1.2.3 and 10.4.2019",
    "4111 1111 1111 1112",
    "see @someone and a@b",
)


@pytest.mark.parametrize("text", FOUND)
def test_shapes(text: str) -> None:
    spans = apart(personal(text))
    assert [span.what for span in spans] == [FOUND[text]]
    assert "THANK" not in text[spans[0].start : spans[0].stop]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it(text: str) -> None:
    assert list(personal(text)) == []


@given(st.text(alphabet="0123456789", min_size=11, max_size=26), st.integers(0, 25))
@settings(max_examples=60, deadline=None)
def test_an_iban_with_one_digit_changed_is_none(account: str, place: int) -> None:
    rest = int("".join(str(int(sign, 36)) for sign in account + "DE00")) % 97
    iban = f"DE{98 - rest:02}{account}"
    assert is_iban(iban)
    place = 4 + place % len(account)
    other = "1" if iban[place] != "1" else "2"
    changed = iban[:place] + other + iban[place + 1 :]
    assert not is_iban(changed)


@given(st.text(alphabet="0123456789", min_size=11, max_size=14))
@settings(max_examples=60, deadline=None)
def test_one_last_digit_makes_a_card(body: str) -> None:
    numbers = ["4" + body + str(last) for last in range(10)]
    assert sum(map(is_card, numbers)) == 1 or any(len(set(number)) == 1 for number in numbers)


@pytest.mark.parametrize(
    "text",
    [
        "export KEY=AKIAIOSFODNN7EXAMPLE",
        'password: "hunter2-and-more"',
        "postgres://admin:s3cret-pw@db.example.org/x",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "the token is q8Zr7TtY2mLpX0vB",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    ],
)
def test_secrets(text: str) -> None:
    assert list(secrets(text))


@pytest.mark.parametrize(
    "text",
    [
        "the password is required",
        "a secret: never tell anyone",
        "password=<your password>",
        "sha " + "0123456789abcdef" * 4,
    ],
)
def test_no_secrets(text: str) -> None:
    assert list(secrets(text)) == []


def test_entropy() -> None:
    assert entropy("aaaa") == 0 and entropy("abcd") == 2


def names_in(text: str, *others: str) -> list[str]:
    return [text[span.start : span.stop] for span in Names([text, *others])(text)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Yesterday Maria Lopez called us.", ["Maria Lopez"]),
        ("My name is Xqar Vhelm and I am late.", ["Xqar Vhelm"]),
        ("Dr. Vhelm told me so.", ["Vhelm"]),
        ("We asked J. R. Miller about it. Then Miller left.", ["J. R. Miller", "Miller"]),
        ("Ludwig van Beethoven wrote it.", ["Ludwig van Beethoven"]),
        ("The United States and New York in March.", []),
        ("I've never seen the White House.", []),
        ("please do it now, nothing else", []),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_a_word_that_the_rows_write_small_is_no_name() -> None:
    assert names_in("We took Jasmine to town.") == ["Jasmine"]
    assert names_in("We took Jasmine to town.", "a jasmine tree", "jasmine tea") == []


def test_pseudonyms_are_the_same_everywhere_and_nothing_else_changes() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "I am Maria Lopez, maria@example.org"}], "label": "Maria Lopez"},
        {"messages": [{"role": "assistant", "content": "Maria Lopez wrote from MARIA@example.org."}]},
    ]
    scan, marks = Scanner(["I am Maria Lopez"]), Pseudonyms()
    first, changes = marks.written(rows[0], scan, frozenset({"label"}))
    second, _ = marks.written(rows[1], scan, frozenset({"label"}))
    assert first["messages"][0] == {"role": "user", "content": "I am [NAME_1], [EMAIL_1]"}
    assert first["label"] == "Maria Lopez"
    assert second["messages"][0]["content"] == "[NAME_1] wrote from [EMAIL_1]."
    assert [change["mark"] for change in changes] == ["[NAME_1]", "[EMAIL_1]"]
    assert "maria" not in str(changes).lower()
    assert list(scan("[NAME_1] wrote from [EMAIL_1] and [SECRET_12]")) == []


def test_spans_that_overlap_become_one() -> None:
    given = [Span(3, 9, "b"), Span(0, 5, "a"), Span(0, 4, "c"), Span(9, 10, "d")]
    assert apart(given) == [Span(0, 5, "a"), Span(9, 10, "d")]


def test_scanning_terminates_on_hostile_text() -> None:
    draw = random.Random(0)
    scan = Scanner([])
    for signs in ("A ", "1-", "a@", "password=", "De la "):
        scan((signs * 4000)[: 8000 + draw.randint(0, 3)])
