"""CSV files: each column's type is one that all rows fit, however far down the row is that decides it."""

import gzip
from pathlib import Path

import duckdb
import pytest

from backend.monitoring import tablefiles
from backend.monitoring.tablefiles import MISSING, open_table

ROWS = 2 * tablefiles.SNIFFED

LAST = {
    "all alike": "7,w1,8",
    "a fraction": "7.5,w1,8",
    "a word": "seven,w1,8",
    "a number where nothing was": "7,w1,9.25",
    "a quoted text": '7,"w1",8',
    "a quoted comma": '7,"w, 1",8',
    "a missing value": "NA,,",
}


@pytest.mark.parametrize("last", LAST.values(), ids=LAST)
@pytest.mark.parametrize("third", ["", "8"], ids=["third column empty", "third column full"])
def test_the_last_row_of_a_large_file_tells_types_as_well_as_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, third: str
) -> None:
    monkeypatch.setattr(tablefiles, "SMALL", 100_000)
    path = tmp_path / "large.csv"
    path.write_text("\n".join(["a,b,c", *(f"{i},w{i % 7},{third}" for i in range(ROWS)), last, ""]))
    expected = duckdb.connect().read_csv(str(path), header=True, sample_size=-1, na_values=MISSING)

    found = open_table(path)

    assert dict(zip(found.columns, map(str, found.types), strict=True)) == dict(
        zip(expected.columns, map(str, expected.types), strict=True)
    )
    assert found.limit(5, offset=ROWS - 2).fetchall() == expected.limit(5, offset=ROWS - 2).fetchall()


def test_a_row_that_fits_no_column_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tablefiles, "SMALL", 100_000)
    path = tmp_path / "torn.csv"
    path.write_text("\n".join(["a,b", *(f"{i},{i}" for i in range(ROWS)), "1,2,3", ""]))

    with pytest.raises(tablefiles.BadInput, match=r"torn\.csv cannot be read"):
        open_table(path)


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE"), ("utf-32", "UTF-32"),
     ("latin-1", "LATIN1"), ("cp1252", "WINDOWS-1252")],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_another_encoding_is_named_with_the_command_that_converts_it(
    tmp_path: Path, encoding: str, told: str, ending: str
) -> None:
    path = tmp_path / f"old.{ending}"
    word = "€ für" if told == "WINDOWS-1252" else "für"
    content = "".join(["a,b\n", *(f"{i},w\n" for i in range(20)), f"7,{word}\n"]).encode(encoding)
    path.write_bytes(gzip.compress(content) if ending == "csv.gz" else content)

    with pytest.raises(tablefiles.BadInput, match=f"it seems to be {told}") as caught:
        open_table(path)

    assert f"iconv -f {told} -t UTF-8" in caught.value.message
    assert str(path) in caught.value.message
    assert ("line 22 has the byte" in caught.value.message) == (not told.startswith("UTF"))


def test_utf8_with_a_mark_and_with_letters_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_bytes("a,b\n7,für €\n".encode("utf-8-sig"))

    table = open_table(path)

    assert (table.columns, table.fetchall()) == (["a", "b"], [(7, "für €")])
