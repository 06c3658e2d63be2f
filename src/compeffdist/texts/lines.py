"""Lines of text files, as people's programs write them: the encoding found out, the length bounded.

UTF-8 and UTF-16 may have a byte-order mark, and hold halves of a character (surrogates) as programs write that cut
texts in the middle of an emoji: the two halves of one are joined, a lone one is passed on for whoever reads the field.
A file that ends in the middle of a character's bytes was cut off, which tells nothing of its encoding: it is refused.
"""

import codecs
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, AnyStr

from compeffdist.errors import UserError
from compeffdist.files import CHUNK_BYTES, refuse_linked_folder

MAX_LINE_BYTES = 64 << 20
"""A longer line, or field of a CSV file, is not kept in memory."""
MOST_FOREIGN = 0.2
"""Bytes beyond ASCII for each letter, at most, of a file in Windows-1252; other scripts have more."""
BOM = "\ufeff"

_UNDEFINED = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
"""Bytes that Windows-1252 has no character for."""
_CUT_SEQUENCE = re.compile(rb"(?:[\xc2-\xf4]|[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})\Z")
"""The beginning of a character in UTF-8, where bytes end."""
_SAMPLE_BYTES = 4096
_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def read_lines(path: Path, western: bool = False) -> Iterator[str]:
    """The lines of a text file with their ends; byte-order marks at their beginnings are dropped.

    Args:
        western: whether a file that is not UTF-8 may be Windows-1252, which a note on stderr then says.

    Raises:
        UserError: as `read_bounded_lines`; a line of more than MAX_LINE_BYTES.
    """
    for number, line in enumerate(read_bounded_lines(path, western), 1):
        if line is None:
            raise UserError(f"{path}: line {number} is longer than {MAX_LINE_BYTES} bytes")
        yield line


def read_bounded_lines(path: Path, western: bool = False) -> Iterator[str | None]:
    """As `read_lines`, with None in place of a line of more than MAX_LINE_BYTES.

    Raises:
        UserError: no such file, not a file, not readable; another encoding (names line and byte offset); an end in
            the middle of a character.
    """
    with open_file(path) as stream:
        if wide := _wide_encoding(path, stream):
            yield from _utf16_lines(path, stream, wide)
            return
        encoding = "utf-8"
        if western and not _is_utf8(stream) and _is_western(stream):
            print(
                f"{path}: not UTF-8: read as Windows-1252; if characters come out wrong, save it as UTF-8",
                file=sys.stderr,
            )
            encoding = "cp1252"
        stream.seek(0)
        yield from _decoded_lines(path, stream, encoding)


def open_file(path: Path) -> IO[bytes]:
    """Open a user's file. Raises UserError if it is not there, cannot be read, or DVC would not see it change."""
    refuse_linked_folder(Path(path))
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def decode_utf8(written: bytes) -> str:
    """The text of UTF-8 bytes, the two halves of a character that were written one by one joined, a lone half as it is.
    Raises UnicodeDecodeError if they are not UTF-8 otherwise."""
    try:
        return written.decode("utf-8")
    except UnicodeDecodeError:
        halves = written.decode("utf-8", "surrogatepass")
        return halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _wide_encoding(path: Path, stream: IO[bytes]) -> str:
    """The encoding of a file in UTF-16, by its byte-order mark or the zeros in ASCII characters; empty if it is none.
    Raises UserError if it is UTF-32."""
    sample = stream.read(_SAMPLE_BYTES)
    stream.seek(0)
    if sample.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) or sample[:4].count(0) == 3:
        raise UserError(f"{path}: looks like UTF-32; save it as UTF-8")
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    first, second = (sample[place::2] for place in (0, 1))  # of each pair of bytes
    for encoding, letters, zeros in (("utf-16-le", first, second), ("utf-16-be", second, first)):
        if zeros[:1] == b"\0" != letters[:1] and zeros.count(0) > 2 * letters.count(0):
            print(f"{path}: has no byte-order mark: read as {encoding.upper()}", file=sys.stderr)
            return encoding
    return ""


def _decoded_lines(path: Path, stream: IO[bytes], encoding: str) -> Iterator[str | None]:
    for number, line in enumerate(_bounded(stream.readline, b"\n"), 1):
        try:
            text = line and (decode_utf8(line) if encoding == "utf-8" else line.decode(encoding))
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number, line or b"", stream.tell() - len(line or b""), error) from None
        yield text.lstrip(BOM) if text else None


def _not_utf8(path: Path, number: int, line: bytes, start: int, error: UnicodeDecodeError) -> UserError:
    """The error that a line, which starts at a byte of the file, is not UTF-8: why, as far as that is seen."""
    if cut := _CUT_SEQUENCE.search(line):  # behind it the file ends, else there would be the line's end
        try:
            decode_utf8(line[: cut.start()])
        except UnicodeDecodeError:
            pass
        else:
            return UserError(
                f"{path}: ends in the middle of a character (line {number}, byte {start + cut.start()}): it was cut "
                "off; get it whole, or, if it is in another encoding, save it as UTF-8"
            )
    if b"\0" in line:
        return UserError(f"{path}: line {number} holds zero bytes and is not UTF-8: save the file as UTF-8")
    return UserError(f"{path}: expected UTF-8; line {number} is not (byte {start + error.start})")


def _utf16_lines(path: Path, stream: IO[bytes], encoding: str) -> Iterator[str | None]:
    lines = io.TextIOWrapper(stream, encoding=encoding, errors="surrogatepass", newline="")
    try:
        for line in _bounded(lines.readline, "\n"):
            yield line.lstrip(BOM) if line else None
    except UnicodeError:
        raise UserError(
            f"{path}: UTF-16 that ends in the middle of a character: it was cut off; get it whole, or save it as UTF-8"
        ) from None


def _bounded(readline: Callable[[int], AnyStr], end: AnyStr) -> Iterator[AnyStr | None]:
    """Lines, None for one that is too long, which is read past piece by piece."""
    while line := readline(MAX_LINE_BYTES + 1):
        whole = len(line) <= MAX_LINE_BYTES
        kept = line if whole else None
        while not whole and line and not line.endswith(end):
            line = readline(MAX_LINE_BYTES + 1)
        yield kept


def _is_utf8(stream: IO[bytes]) -> bool:
    """Whether a file is UTF-8 up to its end, where a character may be cut off."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            decoder.decode(chunk)
    except UnicodeDecodeError:
        return False
    return True


def _is_western(stream: IO[bytes]) -> bool:
    """Whether a file that is not UTF-8 can be taken for Windows-1252: it has a character for every byte, few beyond
    ASCII, and nothing that looks like UTF-8 (a file of both is damaged)."""
    stream.seek(0)
    letters = foreign = 0
    for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
        if len(chunk.translate(None, _UNDEFINED)) < len(chunk) or b"\0" in chunk or _UTF8_SEQUENCE.search(chunk):
            return False
        ascii_only = chunk.decode("ascii", "ignore")
        letters += sum(map(str.isalpha, ascii_only))
        foreign += len(chunk) - len(ascii_only)
    return foreign <= MOST_FOREIGN * letters
