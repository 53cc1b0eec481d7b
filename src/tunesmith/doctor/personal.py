"""Personal data with a shape: e-mail, telephone, IBAN, payment cards, social security and IP numbers.

A shape alone says little: IBANs must pass ISO 7064 mod 97, cards Luhn's check (ISO/IEC 7812), telephone numbers must
look dialled (a plus, a trunk zero, grouped as in North America) or stand behind a word for telephone.
"""

import re
from collections.abc import Iterator

from tunesmith.doctor.spans import Span

EMAIL, PHONE, IBAN, CARD, SSN, ADDRESS = "e-mail", "phone", "IBAN", "card", "social security number", "IP address"

_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w@])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?!\w)", re.IGNORECASE)
_IBAN_PART = re.compile(r"[ -]")
_DIGITS = re.compile(r"(?<![\w.,])\d(?:[ -]?\d){11,18}(?![\w]|[.,]\d)")
_ISSUED = re.compile(r"[2-6]\d{12,15}|[46]\d{18}|1800\d{11}|(?:5[0678]\d|6\d\d)\d{9}")  # the last: Maestro
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}[- ](?!00)\d{2}[- ](?!0000)\d{4}(?![\w-])")
_IP = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.]*\d)")
_PHONE = re.compile(
    r"(?<![\w.,+/\-])(?:\+|\(\+?)?\d(?:[\d\s().\-/\u2010-\u2013]{4,24})\d"
    r"(?:[ ,]{0,2}(?:x|ext\.?|Durchwahl)[ .:]?\d{1,6})?(?!\w|[.,]\d)",
)
_CALLED = re.compile(
    r"(?:phone|tel|telefon|telephone|mobile|mobil|cell|fax|call|dial|ring|text|sms|whatsapp|handy|hotline|"
    r"reach|number is|nummer|n[uú]mero|t[eé]l[eé]phone|portable|cellulare|ph)\W{0,3}(?:\w+\W{1,3}){0,3}$",
    re.IGNORECASE,
)
_NORTH = re.compile(r"(?:\+?1[\s.\-]?)?(?:\([2-9]\d\d\)\s?|[2-9]\d\d[\s.\-])[2-9]\d\d[\s.\-]\d{4}")
_BARE_NORTH = re.compile(r"[2-9]\d\d[2-9]\d{6}")
_DATE = re.compile(r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|[0-3]?\d([-/.])[0-3]?\d\2(?:\d\d|[12]\d{3}))(?:[ T]\d{1,2}.*)?")
_DIGIT = re.compile(r"[0-9]")
_BREAK = re.compile(r"\s{2,}|\n")


def personal(text: str) -> Iterator[Span]:
    """-> what in a text has the shape of personal data."""
    if "@" in text:
        yield from (Span(*match.span(), EMAIL) for match in _EMAIL.finditer(text))
    if _DIGIT.search(text) is None:
        return
    for match in _IBAN.finditer(text):
        if (stop := _iban_end(match[0])) is not None:
            yield Span(match.start(), match.start() + stop, IBAN)
    yield from (Span(*match.span(), CARD) for match in _DIGITS.finditer(text) if is_card(match[0]))
    yield from (Span(*match.span(), SSN) for match in _SSN.finditer(text))
    yield from (Span(*match.span(), ADDRESS) for match in _IP.finditer(text) if not match[0].startswith("0."))
    yield from _phones(text)


def is_iban(text: str) -> bool:
    """Country, check digits, account: read as one number with letters as 10 to 35, it leaves 1 modulo 97."""
    plain = _IBAN_PART.sub("", text).upper()
    if not 15 <= len(plain) <= 34 or not plain.isascii() or not plain.isalnum():
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def _iban_end(text: str) -> int | None:
    """-> the length of the longest beginning that is an IBAN: words may follow in capitals."""
    stops = [len(text), *(match.start() for match in reversed(list(_IBAN_PART.finditer(text))))]
    return next((stop for stop in stops if is_iban(text[:stop])), None)


def is_card(text: str) -> bool:
    """Luhn: every second digit from the right doubled, the digits' sum is a multiple of ten."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    plain = "".join(map(str, digits))
    if len(set(digits)) < 2 or not _ISSUED.fullmatch(plain):
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def _phones(text: str) -> Iterator[Span]:
    for match in _PHONE.finditer(text):
        said = match[0]
        if gap := _BREAK.search(said):
            said = said[: gap.start()]
        said = said.rstrip("( -./")
        if _dialled(said, text[max(0, match.start() - 40) : match.start()]):
            yield Span(match.start(), match.start() + len(said), PHONE)


def _dialled(said: str, before: str) -> bool:
    number = re.split(r"(?:x|ext|Durch)", said)[0].rstrip(" ,")
    digits = "".join(sign for sign in number if sign.isdigit())
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3:
        return False
    if number.startswith(("+", "(+")) or digits.startswith("00"):
        return len(digits) >= 8
    if _DATE.fullmatch(number):
        return False
    if _NORTH.fullmatch(number) or _BARE_NORTH.fullmatch(number) or number != said:
        return True
    trunk = digits.startswith("0") and len(digits) >= 9 and "." not in number.strip(".")[:2]
    bracketed = re.match(r"\(0?\d{2,5}\)", number) is not None
    return trunk or bracketed or bool(_CALLED.search(before))
