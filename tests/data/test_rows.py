import csv
import io
import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.core.errors import UserError
from tunesmith.data.hub import looks_like_hub, read_hub
from tunesmith.data.rows import fingerprint, read_rows


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def values(path: Path) -> list[dict]:
    return [row.values for row in read_rows(path)]


ROWS = [{"prompt": 'a,\n"b"\u2028c', "completion": "é漢😀"}, {"prompt": "x", "completion": "y"}]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str, mark: bytes) -> None:
    path = tmp_path / f"d{suffix}"
    if suffix == ".parquet":
        parquet.write_table(arrow.Table.from_pylist(ROWS), path)
    elif suffix in (".csv", ".tsv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, ["prompt", "completion"], delimiter="," if suffix == ".csv" else "\t")
        writer.writeheader()
        writer.writerows(ROWS)
        path.write_bytes(mark + text.getvalue().encode())
    else:
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
        path.write_bytes(mark + (lines if suffix == ".jsonl" else json.dumps(ROWS)).encode())
    rows = read_rows(path)
    assert [row.values for row in rows] == ROWS
    assert [row.number for row in rows] == [1, 2]
    assert {row.file for row in rows} == {str(path)}


def test_json_may_wrap_its_rows_or_hold_lines(tmp_path: Path) -> None:
    assert values(write(tmp_path, "a.json", '{"data": [{"a": 1}]}')) == [{"a": 1}]
    assert values(write(tmp_path, "b.json", '{"a": 1}\n{"a": 2}\n')) == [{"a": 1}, {"a": 2}]


def test_the_number_of_a_row_in_json_lines_is_its_line(tmp_path: Path) -> None:
    assert [row.number for row in read_rows(write(tmp_path, "a.jsonl", '\n{"a": 1}\r\n\n{"a": 2}'))] == [2, 4]


def test_a_folder_gives_a_row_for_each_text(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path, "b.txt", "bee")
    write(tmp_path / "sub", "a.MD", "# a")
    write(tmp_path, "c.json", "not a text")
    assert values(tmp_path) == [{"text": "bee"}, {"text": "# a"}]
    before = fingerprint(tmp_path)
    write(tmp_path, "b.txt", "bees")
    assert fingerprint(tmp_path) != before


def test_long_fields_of_a_table_are_read(tmp_path: Path) -> None:
    assert values(write(tmp_path, "a.csv", "text,n\n" + "w" * 200_000 + ",1\n"))[0]["text"] == "w" * 200_000
    assert csv.field_size_limit() == 131072


BROKEN = [
    ("a.jsonl", b"", "the file is empty"),
    ("a.jsonl", b" \n\n", "the file is empty"),
    ("a.json", b"[]", "holds no rows"),
    ("a.csv", b"a,b\n", "holds no rows"),
    ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', r"line 2: byte 0xff at offset 16 is not UTF-8"),
    ("a.jsonl", b'\xef\xbb\xbf{"a": "\xe9"}\n', r"line 1: byte 0xe9 at offset 10 is not UTF-8"),
    ("a.txt", "text".encode("utf-16"), "UTF-16"),
    ("a.jsonl", b'{"a": 1}\n{"a": "\0"}\n', "line 2: a NUL byte at offset 16"),
    ("a.jsonl", b'{"a": 1}\n{"a": "\\u0000"}\n', "row 2: holds a NUL character"),
    ("a.jsonl", b'{"a": 1}\n{"a": ["\\ud800"]}\n', "row 2: holds half a character"),
    ("a.jsonl", b'{"a": 1}\n{"a": \n', r"line 2: broken JSON at column"),
    ("a.json", b'[{"a": 1},\n{"a": 2},\n{"a" 3}]', r"line 3: broken JSON at column 6"),
    ("a.jsonl", b'{"a": 1}\n[1]\n', r"row 2: must be an object with named fields, not a list"),
    ("a.json", b'[{"a": 1}, null]', r"row 2: must be an object with named fields, not null"),
    ("a.json", b"3", r"must hold a list of objects.*not a number"),
    ("a.jsonl", b'{"a": 1}\n{"b": {"c": 1, "c": 2}}\n', r'line 2: the key "c" stands twice'),
    ("a.jsonl", b'{"a": NaN}', r"line 1: NaN is not a JSON value"),
    ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}", r"line 1: .*digits"),
    ("a.jsonl", b"{}", "row 1: the object is empty"),
    ("a.json", b"[" * 100_000, "nested too deeply|broken JSON"),
    ("a.csv", b"a,b\n1,2\n3\n", r"row 2 \(line 3\): 1 fields where the header has 2"),
    ("a.csv", b"a,b\n1,2,3\n", r"row 1 \(line 2\): 3 fields"),
    ("a.csv", b"a,a\n1,2\n", r"line 1: the column `a` stands twice"),
    ("a.csv", b"a,\n1,2\n", r"line 1: column 2 of the header has no name"),
    ("a.csv", b"a;b\n1;2\n", r"line 1: one column, `a;b`; are the fields separated by commas"),
    ("a.csv", b'a,b\n1,"2\n', r"line 2: broken table"),
    ("a.parquet", b"PAR1 nothing PAR1", "not a whole Parquet file"),
    ("a.parquet", b"", "the file is empty"),
    ("a.xlsx", b"x", r"unknown kind of file `.xlsx`; known are .jsonl"),
]


@pytest.mark.parametrize(("name", "data", "message"), BROKEN)
def test_broken_files_are_refused_with_their_place(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = write(tmp_path, name, data)
    with pytest.raises(UserError, match=message) as error:
        read_rows(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_file_names_a_near_one(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", "{}")
    with pytest.raises(UserError, match=r"trian.jsonl: no such file; did you mean `train.jsonl`"):
        read_rows(tmp_path / "trian.jsonl")
    with pytest.raises(UserError, match=r"holds no .txt or .md file"):
        read_rows(tmp_path)


def test_a_parquet_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"text": ["w" * 1000] * 100}), path)
    whole = path.read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="not a whole Parquet file"):
            read_rows(path)


PIECES = st.sampled_from(
    [b'{"a": 1}', b"[", b"]", b"{", b"}", b'"', b"\\u", b"d800", b"\n", b"\r", b",", b"\t", b"\xef\xbb\xbf"]
)
BYTES = st.one_of(
    st.binary(max_size=200), st.lists(st.one_of(PIECES, st.binary(max_size=5)), max_size=12).map(b"".join)
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt"]), BYTES)
def test_any_bytes_give_rows_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), f"any{suffix}", data)
    try:
        rows = read_rows(path)
    except UserError as error:
        assert str(error).startswith(str(path))
    else:
        assert rows
        assert all(row.values and len(row.digest) == 64 for row in rows)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_parquet_gives_rows_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    parquet.write_table(arrow.table({"text": ["one", "two"], "n": [1, 2]}), path)
    whole = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        assert read_rows(path)
    except UserError as error:
        assert str(error).startswith(str(path))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON, min_size=1), min_size=1, max_size=5))
def test_what_is_written_as_json_lines_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]) -> None:
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert values(write(tmp_path_factory.getbasetemp(), "back.jsonl", lines)) == rows


def test_equal_rows_have_equal_digests_in_any_order_of_keys(tmp_path: Path) -> None:
    one, two, other = read_rows(write(tmp_path, "a.jsonl", '{"a": 1, "b": 2}\n{"b": 2, "a": 1}\n{"a": 2, "b": 1}'))
    assert one.digest == two.digest != other.digest


def test_hub_names_are_known_and_refused_without_leave() -> None:
    assert looks_like_hub("owner/name") and looks_like_hub("owner/name-1.5:validation")
    assert not looks_like_hub("folder/train.jsonl") and not looks_like_hub("a/b/c") and not looks_like_hub("name")
    with pytest.raises(UserError, match="owner/name: no such file, and downloads are not allowed"):
        read_hub("owner/name", "train", allow_download=False)


def test_the_hub_is_read_through_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked = []

    def load(name: str, split: str) -> list[dict]:
        asked.append((name, split))
        return [{"text": "a"}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    (row,) = read_hub("owner/name:dev", "train", allow_download=True)
    assert asked == [("owner/name", "dev")]
    assert (row.file, row.number, row.values) == ("owner/name:dev", 1, {"text": "a"})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: 1 / 0)
    with pytest.raises(UserError, match="cannot be loaded from the hub"):
        read_hub("owner/name", "train", allow_download=True)
