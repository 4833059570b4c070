"""Reading files record by record: whatever the file is, a record or an error with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from correction.errors import InvalidInput
from eval.datasets import records
from eval.datasets.records import Record, json_records, table


def outcome(path: Path) -> list[object]:
    return [dict(r.fields) if isinstance(r, Record) else r.message for r in json_records(path)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=6), st.sampled_from([None, 1]), st.integers(1, 70)
)
def test_a_list_is_read_as_json_reads_it(
    tmp_path: Path, objects: list[dict[str, object]], indent: int | None, block: int
) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(objects, indent=indent))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(records, "BLOCK", block)
        assert outcome(path) == objects


def test_a_truncated_list_gives_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    text = json.dumps([{"a": 1}, {"a": [2, 3]}, {"a": "x"}], indent=1)
    for end in range(1, len(text) - 1):
        path.write_text(text[:end])
        *whole, last = outcome(path)
        assert whole == [{"a": 1}, {"a": [2, 3]}, {"a": "x"}][: len(whole)]
        assert isinstance(last, str)
        assert "list.json, line " in last
        assert "ends" in last


def test_what_is_no_json_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('[{"a": 1},\n{"a": 2},\n{"a": tea, "b": "a long way to the end of the file"},\n{"a": 4}]')
    assert outcome(path)[:2] == [{"a": 1}, {"a": 2}]
    assert "line 3: not JSON" in str(outcome(path)[2])
    assert len(outcome(path)) == 3


def test_lines_go_on_behind_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('\ufeff{"a": 1}\n\n{"a": \n[1]\n{"a": 2}', encoding="utf-8")
    first, broken, no_object, last = outcome(path)
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert "line 3: not JSON" in str(broken)
    assert "line 4: a list where a record should be" in str(no_object)


def test_bytes_that_are_no_text_spoil_their_field_only(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"a": "café", "b": "tea"}\n'.encode("latin-1"))
    (record,) = json_records(path)
    assert isinstance(record, Record)
    assert record.text("b") == "tea"
    with pytest.raises(InvalidInput, match="line 1: 'a' holds bytes that are not UTF-8"):
        record.text("a")


def test_a_list_may_be_longer_than_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK", 500)
    monkeypatch.setattr(records, "LONGEST", 5_000)
    path = tmp_path / "long.json"
    path.write_text(json.dumps([{"n": n, "text": "x" * 200} for n in range(1000)]))
    assert outcome(path) == json.loads(path.read_text())
    path.write_text(json.dumps([{"text": "x" * 20_000}]))
    assert "line 1: not JSON" in str(outcome(path)[0])


def test_rows_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"two\nlines"\n3\n4,5,6\n7,8\n')
    rows = list(table(path))
    assert [dict(r.fields) if isinstance(r, Record) else r.message.partition(": ")[2] for r in rows] == [
        {"a": "1", "b": "two\nlines"},
        "1 fields where the header has 2; 'b' comes next",
        "3 fields where the header has 2; 'nothing' comes next",
        {"a": "7", "b": "8"},
    ]
    assert "t.csv, line 4" in rows[1].message  # type: ignore[union-attr]


def test_a_field_may_be_longer_than_csv_allows(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n1\t" + "x" * 300_000 + "\n")
    (row,) = table(path, "\t")
    assert isinstance(row, Record)
    assert len(row.text("b")) == 300_000


@pytest.mark.parametrize(
    ("value", "read"), [("['a', 'b']", ("a", "b")), ("(('a', 'b'),)", ("a", "b")), ('["a", "", "a"]', ("a",)), ("", ())]
)
def test_lists_in_strings(value: str, read: tuple[str, ...]) -> None:
    assert Record("f, line 1", {"a": value}).literal("a") == read


@pytest.mark.parametrize("value", ["[", "f()", "(" * 500, "a b"])
def test_what_is_no_list_in_a_string(value: str) -> None:
    with pytest.raises(InvalidInput, match="is not a list in a string"):
        Record("f, line 1", {"a": value}).literal("a")
