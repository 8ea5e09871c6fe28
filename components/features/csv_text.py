"""CSV files that people and other tools write, read as text and strictly: every line is as wide as the header, or it is named."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_BLOCK = 16 << 20  # bytes; a line has to fit in


def read_csv_text(file: Path) -> pd.DataFrame:
    """All columns as text, '' for an empty cell, in the order of the lines; blank lines do not count.

    Raises:
        InputError: there is no header, two columns have one name, a line has more or fewer cells, or it is no CSV in UTF-8.
    """
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    header = next((cells for _, cells in _lines(file)), None)
    if header is None:
        raise InputError(f"{file}: is empty", hint="its first line names the columns")
    if twice := [name for name in header if header.count(name) > 1]:
        raise InputError(f"{file}: two columns are called '{twice[0]}'", hint="rename one of them, or take it out")
    try:
        return pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        ).to_pandas()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        _find_odd_line(file, len(header))
        raise InputError(f"{file}: no CSV in UTF-8: {str(error).strip()}", hint="mend the file there, or write it anew") from None


def line_of(file: Path, row: int) -> int:
    """The line of ``file`` in which ``row`` (0 is the first below the header) ends; text in quotes may hold line breaks."""
    return next(line for number, (line, _) in enumerate(_lines(file)) if number == row + 1)


def _find_odd_line(file: Path, width: int) -> None:
    for line, cells in _lines(file):
        if len(cells) != width:
            where = f"{file}, line {line}"
            raise InputError(f"{where}: {len(cells)} cells under {width} columns", hint="quote cells that hold a comma")


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that is not blank."""
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            yield from ((reader.line_num, cells) for cells in reader if cells)
        except csv.Error as error:
            raise InputError(f"{file}, line {reader.line_num}: no valid CSV: {error}", hint="mend the line") from None
        except UnicodeDecodeError:
            raise InputError(f"{file}: no CSV in UTF-8", hint="save the file as UTF-8") from None
