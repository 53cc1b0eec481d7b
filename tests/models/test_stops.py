"""Stop strings and the text of a growing answer."""

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.models.stops import cut, pieces, safe

LETTERS = st.text("abc€", max_size=30)
STOPS = st.lists(st.text("abc€", min_size=1, max_size=4), max_size=3)


def decode(tokens: list[int]) -> str:
    return bytes(tokens).decode(errors="replace")


@given(text=LETTERS, stops=STOPS)
def test_pieces_are_the_text_up_to_the_first_stop_string_and_never_more(text: str, stops: list[str]) -> None:
    expected, _ = cut(text, stops)
    shown = ""
    for piece in pieces(([byte] for byte in text.encode()), decode, stops):
        assert piece
        shown += piece
        assert expected.startswith(shown)
    assert shown == expected


@given(text=LETTERS, stops=STOPS)
def test_what_is_safe_ends_with_no_beginning_of_a_stop_string(text: str, stops: list[str]) -> None:
    found, ended = cut(text, stops)
    assert ended == any(stop in text for stop in stops)
    shown = safe(found, stops)
    assert found.startswith(shown)
    assert not any(shown.endswith(stop[:n]) for stop in stops for n in range(1, len(stop)) if shown == found)


def test_the_first_stop_string_is_the_one_that_is_complete_first() -> None:
    assert cut("xabcd", ["abcd", "bc"]) == ("xa", True)
    assert cut("xabcd", ["bc", "abc"]) == ("x", True)


def test_pieces_do_not_break_a_character() -> None:
    euro = "a€b".encode()
    assert list(pieces([*([byte] for byte in euro), [None]], decode)) == ["a", "€", "b"]


def test_a_character_that_never_gets_whole_is_shown_at_the_end() -> None:
    assert list(pieces([[0xE2], [0x82]], decode)) == ["\ufffd"]
