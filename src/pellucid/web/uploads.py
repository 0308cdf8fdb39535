"""One uploaded file, parsed from the stream in memory: never more than the cap, never the disk.

The parser is python-multipart's bare one; its ready-made forms, which Starlette's ``request.form``
uses, move a large file to the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pellucid.web.refusal import RequestRefused

FIELD = "image"
_LEEWAY_BYTES = 16 * 2**10
"""What a body may hold besides the file: boundaries and a part's headers."""
_MAX_HEADER_BYTES = 8 * 2**10
_MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Upload:
    """A file as it was sent.

    Attributes:
        name: The file's name, as text to show: one line, cut short, never to be opened.
        content: Its bytes.
    """

    name: str
    content: bytes


class Memory:
    """How many bytes of unfinished uploads are held at a time, by all requests together.

    Args:
        limit_bytes: More are refused.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, count: int) -> None:
        """Count bytes in.

        Raises:
            RequestRefused: 503, there would be too many.
        """
        if self.held_bytes + count > self._limit_bytes:
            raise busy()
        self.held_bytes += count

    def give_back(self, count: int) -> None:
        """Count bytes out."""
        self.held_bytes -= count


def busy() -> RequestRefused:
    """Return the refusal of a request that came while too many others were in work."""
    return RequestRefused(
        503,
        "the program is busy with other pictures. Try again in a moment.",
        headers={"Retry-After": "1"},
    )


async def read_upload(
    chunks: AsyncIterator[bytes],
    headers: Mapping[str, str],
    *,
    max_file_bytes: int,
    memory: Memory,
    timeout_seconds: float,
) -> Upload:
    """Read a multipart body with the one file field ``image``.

    Args:
        chunks: The body, as it arrives.
        headers: Of the request, names in lower case.
        max_file_bytes: Reading ends as soon as there are more.
        memory: Counts the bytes while they arrive.
        timeout_seconds: For the whole body.

    Raises:
        RequestRefused: 400 (not such a body), 408 (too slow), 413 (too large), 415 (another kind of
            body), 503 (too many at once).
    """
    boundary = _read_boundary(headers)
    most = max_file_bytes + _LEEWAY_BYTES
    stated = headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise _too_large(max_file_bytes)
    form = _Form(boundary, max_file_bytes)
    received = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in chunks:
                if received + len(chunk) > most:
                    raise _too_large(max_file_bytes)
                memory.take(len(chunk))
                received += len(chunk)
                form.write(chunk)
    except TimeoutError:
        raise RequestRefused(
            408,
            f"the file did not arrive within {timeout_seconds:g} seconds. Send it again.",
            headers={"Connection": "close"},
        ) from None
    finally:
        memory.give_back(received)
    return form.finish()


def _read_boundary(headers: Mapping[str, str]) -> bytes:
    given = headers.get("content-type", "")
    kind, options = parse_options_header(given)
    if kind != b"multipart/form-data":
        raise RequestRefused(
            415,
            f"the body must be multipart/form-data with the file as field {FIELD!r}, got "
            f"{given[:80] or 'no content type'!r}. Send it as `curl -F {FIELD}=@photo.jpg` does.",
        )
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestRefused(415, "the body must not be compressed. Send the file as it is.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046, section 5.1.1
        raise _malformed("its boundary must have 1 to 70 characters")
    return boundary


def _too_large(max_file_bytes: int) -> RequestRefused:
    return RequestRefused(
        413,
        f"{FIELD} must be a file of at most {max_file_bytes / 2**20:g} MB. Send a smaller one, or "
        "start `pellucid serve` with a larger --max-upload-mb.",
    )


def _malformed(what: str) -> RequestRefused:
    return RequestRefused(
        400,
        f"the multipart body cannot be read: {what}. Send one file as field {FIELD!r}.",
    )


class _Form:
    """Collects the one part there may be, as the parser finds it."""

    def __init__(self, boundary: bytes, max_file_bytes: int) -> None:
        self._content = bytearray()
        self._max_file_bytes = max_file_bytes
        self._field, self._value = bytearray(), bytearray()
        self._header_bytes = 0
        self._name: str | None = None
        self._parts = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_field,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_content,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take in what arrived; what follows the last boundary is of no interest."""
        if self._ended or not chunk:
            return
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _malformed("it is not of the form that its content type states") from None

    def finish(self) -> Upload:
        """Return the file."""
        if not self._ended:
            raise _malformed("it ends too early")
        if self._name is None:
            raise _malformed("it holds no file")
        return Upload(self._name, bytes(self._content))

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise _malformed("it holds more than one part")

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._count_header(end - start)

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count_header(end - start)

    def _count_header(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise _malformed("the headers of its part are too long")

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            # As latin-1 bytes, whatever is in it: the parser's helper encodes as it decodes.
            kind, options = parse_options_header(bytes(self._value))
            if kind == b"form-data" and options.get(b"name") == FIELD.encode():
                name = options.get(b"filename")
                if name is not None:
                    self._name = _write_name(name)
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        if self._name is None:
            raise _malformed(f"its part is not a file of field {FIELD!r}")

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if len(self._content) + end - start > self._max_file_bytes:
            raise _too_large(self._max_file_bytes)
        self._content += data[start:end]

    def _end(self) -> None:
        self._ended = True


def _write_name(given: bytes) -> str:
    text = given.decode("utf-8", errors="replace")
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown[:_MAX_NAME_CHARACTERS] or "picture"
