"""What `tunesmith check` finds of what was planted, and what it takes for 100,000 rows.

    python benchmarks/doctor.py --rows 100000 --seed 0

All data are made with a seed: personal data and names of people by Faker (in the extra `bench`), in 16 locales; recall
is told apart by what our own lists know of a name. Near-duplicates are rows of which a word in twenty, at least one
in the prompt and one in the answer, is changed, dropped or put in, or in which two sentences change places, or all
letters are capitals; rows of one template with other content are there to be mistaken for them.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from faker import Faker

from tunesmith.data.config import Data
from tunesmith.data.rows import Row
from tunesmith.doctor.case import Case
from tunesmith.doctor.contamination import contamination
from tunesmith.doctor.doubles import near_duplicates
from tunesmith.doctor.entries import read_entries
from tunesmith.doctor.names import Names, listed
from tunesmith.doctor.personal import personal
from tunesmith.doctor.secrets import secrets
from tunesmith.doctor.spans import Span

LOCALES = (
    *("en_US", "en_GB", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL"),
    *("pl_PL", "pt_BR", "sv_SE", "tr_TR", "cs_CZ", "fi_FI", "ro_RO", "hu_HU"),
)
SENTENCES = (
    "My name is {} and I have been a customer for three years.",
    "Yesterday I spoke with {} about the late delivery.",
    "Please forward this message to {} before Friday.",
    "According to {}, the meeting was moved to the afternoon.",
    "The report was written by {} and checked twice.",
    "{} wrote to us last week and asked for a refund.",
    "We met {} at the station and had lunch together.",
    "Dear {},\nthank you for your letter of last month.",
    "I could not sleep for days, but {} helped me a lot.",
    "Best regards,\n{}",
    "The contract between the company and {} ends in March.",
    "Can you tell me when {} will be back in the office?",
    "Dr. {} told me to take the tablets twice a day.",
    "In 2019 the prize went to {}, who lives in a small town.",
    "They said that {} had already paid the invoice.",
)
FILLERS = (
    "The weather was fine and the train came on time.",
    "I have used this for two weeks now and it works well enough.",
    "Nothing else happened that day.",
    "It took a while, but in the end everything was all right.",
)
CARRIERS = {
    "e-mail": "You can write to {} at any time.",
    "phone": "Please call {} when the parcel has arrived.",
    "IBAN": "The money goes to {} as always.",
    "card": "I paid with {} and it was refused.",
    "social security number": "The number on the form is {} as you asked.",
    "IP address": "The request came from {} last night.",
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=100_000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--part", choices=("all", *PARTS), default="all")
    given = asked.parse_args()
    names = PARTS if given.part == "all" else (given.part,)
    print(json.dumps({name: PARTS[name](random.Random(given.seed), given.rows) for name in names}, indent=2))


def structured(draw: random.Random, _: int) -> dict[str, object]:
    """Recall of each kind, 1,000 values each, and false alarms in lines full of numbers."""
    found = {}
    for what, carrier in CARRIERS.items():
        values = [value(what, draw, n) for n in range(1000)]
        missed = [one for one in values if not covered(carrier.format(one), one, list(personal(carrier.format(one))))]
        found[what] = {"recall": 1 - len(missed) / len(values), "missed": missed[:5]}
    keys = [key(draw) for _ in range(1000)]
    missed = [one for one in keys if not covered(f"export {one}", one.split("=")[-1], list(secrets(f"export {one}")))]
    found["secret"] = {"recall": 1 - len(missed) / len(keys), "missed": missed[:5]}
    lines = [harmless(draw) for _ in range(2000)]
    wrong = [line for line in lines if [*personal(line), *secrets(line)]]
    found["false alarms in 2,000 lines of dates, prices, versions, codes"] = {"count": len(wrong), "some": wrong[:5]}
    return found


def value(what: str, draw: random.Random, n: int) -> str:
    fake = made(draw.choice(LOCALES), draw.randrange(10**9))
    if what == "phone":
        return str(fake.phone_number())
    if what == "IBAN":
        plain = str(fake.iban())
        return " ".join(plain[k : k + 4] for k in range(0, len(plain), 4)) if n % 2 else plain
    if what == "card":
        plain = str(fake.credit_card_number())
        return " ".join(plain[k : k + 4] for k in range(0, len(plain), 4)) if n % 2 else plain
    us = made("en_US", draw.randrange(10**9))
    return str({"e-mail": fake.email, "social security number": us.ssn, "IP address": us.ipv4_public}[what]())


def key(draw: random.Random) -> str:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

    def some(count: int, signs: str = letters) -> str:
        return "".join(draw.choice(signs) for _ in range(count))

    return draw.choice((
        lambda: "AWS_ID=AKIA" + some(16, letters[26:]),
        lambda: "GH=ghp_" + some(36),
        lambda: "KEY=sk-" + some(48),
        lambda: "HOOK=xoxb-" + some(12, letters[52:]) + "-" + some(24),
        lambda: "STRIPE=sk_live_" + some(24),
        lambda: "PASSWORD=" + some(12) + draw.choice("0123456789"),
        lambda: "TOKEN=" + some(40) + draw.choice("0123456789"),
    ))()  # fmt: skip


def harmless(draw: random.Random) -> str:
    r = draw.randint
    return draw.choice((
        f"On {r(1, 28):02}.{r(1, 12):02}.{r(1950, 2030)} we sold {r(1, 9)},{r(100, 999)},{r(100, 999)} pieces.",
        f"Between {r(1900, 1990)}-{r(1991, 2025)} it cost {r(1, 999)}.{r(10, 99)} and then {r(1000, 9999)} euros.",
        f"Version {r(1, 9)}.{r(0, 20)}.{r(0, 99)} of {r(2000, 2026)}-{r(1, 12):02}-{r(1, 28):02} 12:{r(10, 59)}:00.",
        f"Order {r(10**9, 2 * 10**9 - 1)}: {r(10, 99)} kg; code {r(100, 999)}-{r(10, 99)}; 5 + {r(10, 99)} = 9.",
        f"The hash is {''.join(draw.choice('0123456789abcdef') for _ in range(64))} as expected.",
        f"Take {r(1, 5)}0 mg for {r(1, 9)}-{r(10, 20)} days, {r(100, 999)} {r(100, 999)} {r(10, 99)} steps a year.",
        f"Pi is 3.14159265{r(10**6, 10**7)}, and {r(10**11, 10**12)} bytes are {r(100, 999)} GB.",
    ))  # fmt: skip


def names(draw: random.Random, _: int) -> dict[str, object]:
    """Recall of whole names, by what our lists know of them; and alarms in rows without any."""
    known = listed("first_names.txt") | listed("last_names.txt")
    texts, planted = [], []
    for _n in range(4000):
        locale = draw.choice(LOCALES)
        fake = made(locale, draw.randrange(10**9))
        name = f"{fake.first_name()} {fake.last_name()}"
        parts = [draw.choice(FILLERS), draw.choice(SENTENCES).format(name), draw.choice(FILLERS)]
        texts.append(" ".join(parts))
        hits = sum(part.lower() in known for part in name.split())
        planted.append(
            (name, locale, "both parts listed" if hits > 1 else "one part listed" if hits else "none listed")
        )
    find = Names(texts)
    by: dict[str, list[bool]] = defaultdict(list)
    missed = []
    for text, (name, locale, how) in zip(texts, planted, strict=True):
        hit = covered(text, name, find(text))
        for group in ("all", how, locale):
            by[group].append(hit)
        if not hit:
            missed.append(text[text.index(name) - 30 if text.index(name) > 30 else 0 :][:80])
    share = {group: {"recall": sum(hits) / len(hits), "n": len(hits)} for group, hits in sorted(by.items())}
    return share | {"missed": missed[:12]}


def near(draw: random.Random, _: int) -> dict[str, object]:
    """Near-duplicates planted among rows of their own and of one template."""
    fake = made("en_US", draw.randrange(10**9))
    words = fake.get_words_list()
    rows = [{"prompt": spoken(draw, words, 8, 25), "completion": spoken(draw, words, 10, 60)} for _ in range(2000)]
    rows += [
        {"prompt": f"What does the term {draw.choice(words)} {draw.choice(words)} mean? Answer in one sentence.",
         "completion": spoken(draw, words, 8, 20)}
        for _ in range(1000)
    ]  # fmt: skip
    true = set()
    for n in draw.sample(range(len(rows)), 500):
        true.add(len(rows) + 1)
        rows.append({name: altered(draw, text, words) for name, text in rows[n].items()})
    finding = near_duplicates(case(rows))
    found = {number for one in finding for number in one.rows}
    return {
        "planted": len(true), "found": len(found), "recall": len(found & true) / len(true),
        "precision": len(found & true) / max(1, len(found)),
    }  # fmt: skip


def altered(draw: random.Random, text: str, words: tuple[str, ...]) -> str:
    said = text.split()
    how = draw.randrange(5)
    if how == 0 and ". " in text:
        first, _, rest = text.partition(". ")
        return f"{rest.rstrip('.')}. {first}."
    if how == 1:
        return text.upper() if draw.random() < 0.5 else text.replace(",", "").replace(".", "!")
    for _ in range(max(1, len(said) // 20)):
        place = draw.randrange(len(said))
        said[place : place + (how != 2)] = [] if how == 3 else [draw.choice(words)]
    return " ".join(said)


def overlap(draw: random.Random, _: int) -> dict[str, object]:
    """Test rows planted in training rows: whole, and as thirteen words in the middle of other text."""
    words = made("en_US", draw.randrange(10**9)).get_words_list()
    test = [{"prompt": spoken(draw, words, 6, 30), "completion": spoken(draw, words, 5, 40)} for _ in range(400)]
    train = [{"prompt": spoken(draw, words, 8, 30), "completion": spoken(draw, words, 10, 60)} for _ in range(3000)]
    planted = set()
    for n, row in enumerate(draw.sample(test, 200)):
        planted.add(len(train) + 1)
        text = f"{row['prompt']} {row['completion']}".split()
        if n % 2 == 0 or len(text) < 13:
            train.append(dict(row))
        else:
            first = draw.randint(0, len(text) - 13)
            inner = " ".join(text[first : first + 13])
            train.append(
                {"prompt": spoken(draw, words, 4, 9), "completion": f"{spoken(draw, words, 4, 9)} {inner} and more."}
            )
    found = {n for one in contamination(case(train, test)) for n in one.rows}
    return {
        "planted": len(planted), "found": len(found), "recall": len(found & planted) / len(planted),
        "precision": len(found & planted) / max(1, len(found)),
    }  # fmt: skip


def speed(draw: random.Random, count: int) -> dict[str, object]:
    """`tunesmith check` over `count` rows of about 90 words in a process of its own: seconds and peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.jsonl"
        words = made("en_US", draw.randrange(10**9)).get_words_list()
        fake = made("en_US", 1)
        with path.open("w") as file:
            for n in range(count):
                row = {"prompt": spoken(draw, words, 10, 40), "completion": spoken(draw, words, 30, 100)}
                if n % 20 == 0:
                    row["completion"] += f" Write to {fake.name()} at {fake.email()} or {fake.phone_number()}."
                file.write(json.dumps(row) + "\n")
        size = path.stat().st_size
        began = time.perf_counter()
        command = [sys.executable, "-m", "tunesmith", "check", str(path), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak, processor = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
        kinds = {one["kind"]: one["count"] for one in json.loads(done.stdout)["findings"]}
    return {
        "rows": count,
        "bytes": size,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "peak_bytes": peak,
        "findings": kinds,
    }


def spoken(draw: random.Random, words: tuple[str, ...], least: int, most: int) -> str:
    said = [draw.choice(words) for _ in range(draw.randint(least, most))]
    for start in range(0, len(said), 11):
        said[start] = said[start].capitalize()
        if start:
            said[start - 1] += "."
    return " ".join(said) + "."


def case(rows: list[dict[str, str]], test: list[dict[str, str]] | None = None) -> Case:
    config = Data(train="train.jsonl")

    def read(name: str, values: list[dict[str, str]]) -> list[Row]:
        return [Row(name, n, one) for n, one in enumerate(values, start=1)]

    own = {"test": read_entries(config, read("test.jsonl", test))} if test else {}
    return Case(config, read_entries(config, read("train.jsonl", rows)), own)


def covered(text: str, value: str, spans: list[Span]) -> bool:
    """Whether every letter and digit of a value lies in spans."""
    first = text.index(value)
    seen = {place for span in spans for place in range(span.start, span.stop)}
    return all(place in seen for place in range(first, first + len(value)) if text[place].isalnum())


def made(locale: str, seed: int) -> Faker:
    if locale not in _FAKES:
        _FAKES[locale] = Faker(locale)
    _FAKES[locale].seed_instance(seed)
    return _FAKES[locale]


_FAKES: dict[str, Faker] = {}
PARTS: dict[str, Callable[[random.Random, int], dict[str, object]]] = {
    "structured": structured, "names": names, "near": near, "overlap": overlap, "speed": speed,
}  # fmt: skip

if __name__ == "__main__":
    main()
