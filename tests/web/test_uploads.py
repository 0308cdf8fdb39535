from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable

import pytest

from benchmarks.hostile_uploads import NAMES, make_body
from pellucid.web.refusal import RequestRefused
from pellucid.web.uploads import Memory, Upload, read_upload
from tests.web.coroutines import run

CONTENT = bytes(range(256)) * 40


class Sender:
    """A body in pieces; counts how many bytes were asked for."""

    def __init__(self, body: bytes, piece: int = 1000) -> None:
        self._body, self._piece = body, piece
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.sent < len(self._body):
            chunk = self._body[self.sent : self.sent + self._piece]
            self.sent += len(chunk)
            yield chunk


def read(chunks, content_type: str, *, most: int = 20_000, memory=None, **headers: str) -> Upload:
    given = {"content-type": content_type} | {k.replace("_", "-"): v for k, v in headers.items()}
    return run(
        read_upload(
            aiter(chunks),
            given,
            max_file_bytes=most,
            memory=memory or Memory(10**9),
            timeout_seconds=5,
        )
    )


def refusal(call: Callable[[], object]) -> RequestRefused:
    with pytest.raises(RequestRefused, match=r"\w") as caught:
        call()
    return caught.value


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_read_upload_gives_the_file_however_it_is_cut(piece):
    kind, body = make_body(CONTENT, name="photo.png")
    assert read(Sender(body, piece), kind) == Upload("photo.png", CONTENT)


def test_read_upload_touches_no_file(monkeypatch):
    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, None)
    kind, body = make_body(bytes(4_000_000))
    assert len(read(Sender(body, 60_000), kind, most=5_000_000).content) == 4_000_000


def test_read_upload_too_long_ends_before_the_body_does():
    kind, body = make_body(bytes(1_000_000))
    sender = Sender(body)
    assert refusal(lambda: read(sender, kind)).status == 413
    assert sender.sent < 50_000


def test_read_upload_that_says_it_is_too_long_is_not_begun():
    kind, body = make_body(bytes(1_000_000))
    sender = Sender(body)
    assert refusal(lambda: read(sender, kind, content_length=str(len(body)))).status == 413
    assert sender.sent == 0


def test_read_upload_longer_than_it_says_is_refused_all_the_same():
    kind, body = make_body(bytes(1_000_000))
    assert refusal(lambda: read(Sender(body), kind, content_length="10")).status == 413


@pytest.mark.parametrize("size", [20_000, 20_001])
def test_read_upload_counts_the_file_and_not_its_frame(size):
    kind, body = make_body(bytes(size))
    if size == 20_000:
        assert len(read(Sender(body), kind).content) == size
    else:
        assert refusal(lambda: read(Sender(body), kind)).status == 413


def test_read_upload_endless_preface_is_refused():
    kind, _ = make_body(b"")
    assert refusal(lambda: read(Sender(b"\r\n" * 100_000), kind)).status == 413


def test_read_upload_too_slow_is_refused():
    async def stall() -> AsyncIterator[bytes]:
        yield b"--pellucid"
        await asyncio.sleep(60)

    kind, _ = make_body(b"")
    memory = Memory(10**6)
    slow = read_upload(
        stall(), {"content-type": kind}, max_file_bytes=9, memory=memory, timeout_seconds=0.01
    )
    found = refusal(lambda: run(slow))
    assert found.status == 408
    assert found.headers["Connection"] == "close"
    assert memory.held_bytes == 0


def test_read_upload_where_memory_is_short_is_put_off():
    kind, body = make_body(CONTENT)
    memory = Memory(5_000)
    found = refusal(lambda: read(Sender(body), kind, memory=memory))
    assert found.status == 503
    assert found.headers["Retry-After"] == "1"
    assert memory.held_bytes == 0


@pytest.mark.parametrize(
    "kind", ["", "image/png", "application/json", "multipart/mixed; boundary=x"]
)
def test_read_upload_of_another_content_type_is_refused(kind):
    found = refusal(lambda: read(Sender(CONTENT), kind))
    assert found.status == 415
    assert "multipart/form-data" in found.message


def test_read_upload_compressed_body_is_refused():
    kind, body = make_body(CONTENT)
    assert refusal(lambda: read(Sender(body), kind, content_encoding="gzip")).status == 415


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body[:-30], "ends too early"),
        (lambda body: b"", "ends too early"),
        (lambda body: b"x" + body, "not of the form"),
        (lambda body: body.replace(b'name="image"', b'name="file"'), "not a file of field 'image'"),
        (lambda body: body.replace(b"; filename", b"; nothing"), "not a file of field"),
        (lambda body: body.replace(b"form-data;", b"attachment;"), "not a file of field"),
        (lambda body: body[: body.rindex(b"--pellucid")] * 2, "more than one part"),
        (lambda body: body.replace(b"Content-Type:", b"X:" + b"y" * 9000), "not of the form|long"),
    ],
)
def test_read_upload_malformed_is_refused(change, message):
    kind, body = make_body(CONTENT)
    found = refusal(lambda: read(Sender(change(body)), kind))
    assert found.status == 400
    assert re.search(message, found.message)


def test_read_upload_without_a_boundary_is_refused():
    assert refusal(lambda: read(Sender(b""), "multipart/form-data")).status == 400


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_read_upload_name_is_text_on_one_line(name):
    kind, body = make_body(CONTENT, name=name)
    shown = read(Sender(body), kind).name
    assert shown.isprintable()
    assert 0 < len(shown) <= 200


def test_read_upload_name_that_is_not_utf_8_is_shown_all_the_same():
    kind, body = make_body(CONTENT, name="PHOTO")
    shown = read(Sender(body.replace(b"PHOTO", b"\xff\xfe.png")), kind).name
    assert shown == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.png"


def test_read_upload_gives_the_memory_back():
    memory = Memory(10**6)
    kind, body = make_body(CONTENT)
    read(Sender(body), kind, memory=memory)
    refusal(lambda: read(Sender(body[:-9]), kind, memory=memory))
    assert memory.held_bytes == 0
