"""The items of a large JSON file's arrays, one after the other, in memory bounded by the largest.

For annotations of hundreds of MB: the file is read in blocks, and each item is parsed by json's own
C scanner as soon as it is complete. NaN and Infinity are taken, as json takes them.
"""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from convoy.data.files import files

BLOCK = 1 << 20  # bytes read at once
_SPACE = " \t\n\r"
_TAIL = 16  # a literal or an escape cut off by the end of a window is no longer than this
_scan = json.JSONDecoder().scan_once


class DamagedJson(ValueError):
    """Not JSON; `offset` is the byte at which that shows."""

    def __init__(self, offset: int, message: str):
        super().__init__(f"byte {offset}: {message}")
        self.offset = offset


class Item(NamedTuple):
    """An item of an array: in the file {"key": [item, ...]}; of the file [item, ...], key is ""."""

    key: str
    raw: bytes  # as it stands in the file
    value: Any


def items(where: files.Where, block: int = BLOCK) -> Iterator[Item]:
    """Every item of the top-level array, or of the arrays in the top-level object, in file order.

    Values of that object which are no arrays are passed over. Raises DamagedJson once what comes
    before the damage has been given out, and OSError.
    """
    text = _Text(where, block)
    if text.skip() == "\ufeff":  # a byte order mark
        text.step()
    opening = text.skip()
    if opening == "[":
        yield from _array(text, "")
    elif opening == "{":
        text.enter()
        while text.comma("}"):
            key = text.value()[1]
            if not isinstance(key, str):
                raise text.error("expected a name in quotes")
            if text.skip() != ":":
                raise text.error('expected ":" after a name')
            text.step()
            if text.skip() == "[":
                yield from _array(text, key)
            else:
                text.value()
    else:
        raise text.error('expected "{" or "["')
    if text.skip():
        raise text.error("expected the end of the file")


def _array(text: _Text, key: str) -> Iterator[Item]:
    text.enter()
    while text.comma("]"):
        yield Item(key, *text.value())


class _Text:
    """A window on the decoded file; `at` is the place in it."""

    def __init__(self, where: files.Where, block: int):
        self._blocks = blocks(where, block)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        self._gone = 0  # bytes before the window
        self._read = 0  # bytes read so far
        self._end = False
        self._first = True  # no item yet in this array or object

    def skip(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._read_more():
                return ""

    def step(self) -> None:
        """Over the character that `skip` found."""
        self._at += 1

    def enter(self) -> None:
        """Over an opening bracket."""
        self._at += 1
        self._first = True

    def comma(self, closing: str) -> bool:
        """Steps over the comma before the next item, or over the closing bracket: then False."""
        character = self.skip()
        if character == closing:
            self._at += 1
            self._first = False
            return False
        if not self._first:
            if character != ",":
                raise self.error(f'expected "," or "{closing}"')
            self._at += 1
            self.skip()
        self._first = False
        return True

    def value(self) -> tuple[bytes, Any]:
        """The bytes and the value that stand here."""
        while True:
            try:
                value, end = _scan(self._text, self._at)
            except StopIteration as stop:
                at, message, cut = stop.value, "expected a value", False
            except json.JSONDecodeError as error:
                at, message = error.pos, error.msg
                cut = message.startswith("Unterminated string")
            except (ValueError, RecursionError) as error:  # a number of 5000 digits, [[[[[...
                raise self.error(str(error)) from None
            else:
                if end + 3 <= len(self._text) or self._end:  # else a number may go on: 1.5e+
                    raw = self._text[self._at : end].encode()
                    self._at = end
                    return raw, value
                at, message, cut = end, "", True
            if not (cut or at >= len(self._text) - _TAIL):
                self._at = at
                raise self.error(message)
            if not self._read_more() and message:
                self._at = at
                raise self.error(f"{message}; the file ends too early")

    def error(self, message: str) -> DamagedJson:
        return DamagedJson(self._gone + len(self._text[: self._at].encode()), message)

    def _read_more(self) -> bool:
        """Drops what lies behind and reads as much as is still there, a block at least."""
        if self._end:
            return False
        self._gone += len(self._text[: self._at].encode())
        pieces, self._at = [self._text[self._at :]], 0
        kept, added = len(pieces[0]), 0
        try:
            while not added or added < kept:
                data = next(self._blocks, b"")
                self._end = not data
                piece = self._decoder.decode(data, final=self._end)
                self._read += len(data)
                pieces.append(piece)
                added += len(piece)
                if self._end:
                    break
        except UnicodeDecodeError as error:
            offset = self._read - len(self._decoder.getstate()[0]) + error.start
            raise DamagedJson(offset, f"not UTF-8: {error.reason}") from None
        self._text = "".join(pieces)
        return True


def blocks(where: files.Where, size: int = BLOCK) -> Iterator[bytes]:
    """The bytes of a file in pieces of `size` and less, unpacked. Raises OSError."""
    if isinstance(where, str):
        with open(where, "rb") as file:
            while data := file.read(size):
                yield data
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if where.packed == "deflate" else None
    for at in range(0, where.size, size):
        piece = files.Span(
            where.path,
            where.offset + at,
            min(size, where.size - at),
            "" if inflate else where.packed,
        )
        data = files.read(piece)
        if inflate is None:
            yield data
            continue
        while data:
            try:
                unpacked = inflate.decompress(data, size)
            except zlib.error as error:
                raise OSError(0, f"damaged archive: {error}", where.path) from None
            data = inflate.unconsumed_tail
            if unpacked:
                yield unpacked


def plain(text: str) -> str:
    """With "?" for halves of surrogate pairs: JSON can say them (\\ud800), UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
