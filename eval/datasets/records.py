"""Records of published files, one after the other, each knowing where it stands; a file of any size fits.

JSON lists, JSON lines, CSV and TSV. A record that cannot be read is an `InvalidInput` in its place, which names file,
line and field; the reader goes on behind it where it can. It knows nothing of any dataset.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from correction.errors import InvalidInput

BLOCK = 1 << 16  # characters read at once
LONGEST = 1 << 26  # characters of one record: a file that never closes its first bracket shall not fill the memory
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Record:
    """The fields of one record. Every reader of a field raises `InvalidInput` with file, line and field."""

    where: str
    fields: Mapping[str, Any]
    inside: str = ""

    def wrong(
        self, field: str, what: str, hint: str = "compare with the format that the dataset publishes"
    ) -> InvalidInput:
        """The error for a field."""
        name = f"{self.inside}{field}"
        return InvalidInput(f"{self.where}: {name!r} {what}", hint=hint, param=name)

    def get(self, field: str) -> Any:
        """The field as it is."""
        if self.fields.get(field) is None:
            raise self.wrong(field, "is missing")
        return self.fields[field]

    def text(self, field: str) -> str:
        """A text that is not empty, without the blanks around it; a number becomes a text."""
        value = self.get(field)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise self.wrong(field, f"is {_kind(value)}, not a text")
        if not value.strip():
            raise self.wrong(field, "is empty")
        return self._whole(field, value)

    def maybe(self, field: str) -> str:
        """A text, or "" where there is none."""
        value = self.fields.get(field)
        return self._whole(field, value) if isinstance(value, str) else ""

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of texts, those that are empty left out; () where the field is missing."""
        value = self.fields.get(field)
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)) or not all(isinstance(entry, str) for entry in value):
            raise self.wrong(field, "is not a list of texts")
        return tuple(self._whole(field, entry) for entry in value if entry.strip())

    def literal(self, field: str) -> tuple[str, ...]:
        """Texts of a list, or of lists in lists, that stands in a string as Python or JSON spells it."""
        value = self.fields.get(field)
        if value is None or value == "":
            return ()
        try:
            given = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise self.wrong(field, "is not a list in a string") from None
        return tuple(dict.fromkeys(self._whole(field, entry) for entry in _flat(given) if entry.strip()))

    def records(self, field: str) -> list[Record]:
        """A list of objects."""
        value = self.get(field)
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.wrong(field, "is not a list of objects")
        return [Record(self.where, entry, f"{self.inside}{field}[{n}].") for n, entry in enumerate(value)]

    def _whole(self, field: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.wrong(field, "holds bytes that are not UTF-8, or half a surrogate pair") from None
        return text.strip()


def json_records(path: Path) -> Iterator[Record | InvalidInput]:
    """The objects of a JSON list, or of JSON lines, whichever the file holds.

    In a list that is not JSON any more no further record can be found: then the error is the last thing given.
    """
    with _opened(path) as stream:
        skipped = 0
        first = stream.read(1)
        while first.isspace():
            skipped += first == "\n"
            first = stream.read(1)
        if first == "[":
            yield from _list(stream, path, 1 + skipped)
        else:
            stream.seek(0)
            yield from _lines(stream, path)


def table(path: Path, delimiter: str = ",", header: tuple[str, ...] | None = None) -> Iterator[Record | InvalidInput]:
    """The rows of a CSV or TSV file by the names in its first row, or by `header` where it has none."""
    before = csv.field_size_limit(LONGEST)
    try:
        with _opened(path, newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter)
            try:
                names = header or tuple(next(rows, ()))
            except csv.Error as error:
                yield InvalidInput(f"{path}, line 1: not a table ({error})", hint="save it as UTF-8 text")
                return
            while True:
                where = f"{path}, line {rows.line_num + 1}"
                try:
                    row = next(rows, None)
                except csv.Error as error:
                    yield InvalidInput(f"{where}: not a row ({error})", hint="compare its quotes with its neighbours")
                    continue
                if row is None:
                    return
                if not row:
                    continue
                if len(row) != len(names):
                    missing = names[len(row)] if len(row) < len(names) else "nothing"
                    yield InvalidInput(
                        f"{where}: {len(row)} fields where the header has {len(names)}; {missing!r} comes next",
                        hint="compare its quotes and separators with its neighbours",
                        param=missing,
                    )
                    continue
                yield Record(where, dict(zip(names, row, strict=True)))
    finally:
        csv.field_size_limit(before)


def _opened(path: Path, newline: str | None = None) -> TextIO:
    try:
        # A byte that is not UTF-8 spoils its field, not the file: it stays as half a surrogate, which no text may hold.
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}", hint=error.strerror or str(error), param="questions") from error


def _lines(stream: TextIO, path: Path) -> Iterator[Record | InvalidInput]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                yield _record(_DECODER.decode(line.strip()), where)
            except (ValueError, RecursionError) as error:
                yield InvalidInput(f"{where}: not JSON ({error})", hint="one object a line; is the file whole?")


def _list(stream: TextIO, path: Path, line: int) -> Iterator[Record | InvalidInput]:
    """The objects of a list whose bracket has been read; of the file, as much is held as one object needs."""
    held, wanted = "", BLOCK
    while True:
        rest = held.lstrip(" \t\r\n,")
        line += held.count("\n", 0, len(held) - len(rest))
        held = rest
        where = f"{path}, line {line}"
        if held.startswith("]"):
            return
        try:
            value, end = _DECODER.raw_decode(held)
            if end == len(held) and not isinstance(value, (dict, list, str)):
                raise json.JSONDecodeError("more digits may come", held, end)
        except RecursionError as error:
            yield InvalidInput(f"{where}: not usable JSON ({error})", hint="is this the file?")
            return
        except json.JSONDecodeError as error:
            at = f"{path}, line {line + held.count(chr(10), 0, error.pos)}"
            if len(held) > LONGEST or (held and not _may_go_on(error)):
                yield InvalidInput(
                    f"{at}: not JSON ({error.msg})", hint="nothing behind it can be read; is the file whole?"
                )
                return
            # Twice as much each time: a record that is long is not read again and again.
            if not (more := stream.read(wanted)):
                what = "the file ends inside a record" if held else "the file ends before its list does"
                yield InvalidInput(f"{where}: {what}", hint="is the download whole?")
                return
            held, wanted = held + more, 2 * wanted
            continue
        line += held.count("\n", 0, end)
        held, wanted = held[end:], BLOCK
        yield _record(value, where)


def _may_go_on(error: json.JSONDecodeError) -> bool:
    """Whether what follows may make it JSON: the fault lies at the end of what was read, or in an open string."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(error.doc.rstrip()) - len(r"\ud83d\ude00")


def _record(value: Any, where: str) -> Record | InvalidInput:
    if not isinstance(value, dict):
        return InvalidInput(f"{where}: {_kind(value)} where a record should be", hint="one object a record")
    return Record(where, value)


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple, set)):
        for entry in value:
            yield from _flat(entry)
    elif value is not None:
        yield str(value)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")
