"""Rows of tables: comma- or tab-separated values, and Parquet."""

import csv
import io
from pathlib import Path

from tunesmith.core.errors import UserError
from tunesmith.data.rows import Row


def separated_rows(path: Path, text: str, separator: str) -> list[Row]:
    """-> the rows below the header line, every value a text. A row must have as many fields as the header."""
    before = csv.field_size_limit(len(text) + 1)  # the module's limit would refuse long texts
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        header = _header(path, next(reader), separator)
        rows = []
        for number, fields in enumerate((f for f in reader if f), start=1):
            if len(fields) != len(header):
                place = f"{path}, row {number} (line {reader.line_num})"
                raise UserError(f"{place}: {len(fields)} fields where the header has {len(header)}")
            rows.append(Row(str(path), number, dict(zip(header, fields, strict=True))))
        return rows
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: broken table ({error})") from None
    except StopIteration:
        raise UserError(f"{path}: the file is empty") from None
    finally:
        csv.field_size_limit(before)


def _header(path: Path, names: list[str], separator: str) -> list[str]:
    if len(names) == 1 and any(other in names[0] for other in ",;\t"):
        kind = "commas" if separator == "," else "tabs"
        raise UserError(f"{path}, line 1: one column, `{names[0]}`; are the fields separated by {kind}?")
    for place, name in enumerate(names, start=1):
        if not name.strip():
            raise UserError(f"{path}, line 1: column {place} of the header has no name")
        if names.count(name) > 1:
            raise UserError(f"{path}, line 1: the column `{name}` stands twice in the header")
    return names


def parquet_rows(path: Path) -> list[Row]:
    """-> the rows of a Parquet file."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    try:
        table = parquet.read_table(path)
        names = table.column_names
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"{path}: the column `{twice}` stands twice")
        return [Row(str(path), number, values) for number, values in enumerate(table.to_pylist(), start=1)]
    except UserError:
        raise
    except (arrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a whole Parquet file ({reason})") from None
