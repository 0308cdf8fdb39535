"""Listening: one port of this computer alone, slow senders cut off, a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pellucid._checks import UsageError
from pellucid.data.pictures import pillow_warnings_settled
from pellucid.web.application import Answering, LocalPage
from pellucid.web.guard import ADDRESS

_BACKLOG = 256
_MAX_CONNECTIONS = 512
_IDLE_SECONDS = 5
_HEADER_SECONDS = 10.0
_STOP_SECONDS = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def claim_port(port: int) -> socket.socket:
    """Return a socket that listens on a port of this computer alone.

    Args:
        port: 0 takes any free one.

    Raises:
        UsageError: the port is taken or not allowed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would share the port instead
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason = "free, and another program listens on it"
        elif error.errno in (errno.EACCES, errno.EPERM):
            reason = "one that you may use, and this one needs more rights"
        else:
            reason = f"usable ({error.strerror})"
        raise UsageError(
            f"port must be {reason}, got {port}. Use port=0 for any free one."
        ) from None
    return listener


def serve(
    model: Answering,
    listener: socket.socket,
    *,
    max_file_bytes: int,
    started: Callable[[], None] | None = None,
) -> None:
    """Serve a model's page until Ctrl-C or SIGTERM.

    Args:
        model: What answers.
        listener: From `claim_port`; it is closed at the end.
        max_file_bytes: Of an uploaded file.
        started: Called once requests are answered.
    """
    page = LocalPage(model, max_file_bytes=max_file_bytes)
    # They would write a line for whatever a stranger sends.
    for name in ("uvicorn.error", "python_multipart", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        page.application(port=listener.getsockname()[1]),
        loop="asyncio",
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    try:
        with pillow_warnings_settled():
            _Server(config, started).run([listener])
    finally:
        page.close()
        listener.close()


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that waits only so long for the head of a request.

    Uvicorn counts the time between requests, but not that of a sender who begins one and never
    ends it; the application counts the time of a body.
    """

    header_seconds = _HEADER_SECONDS
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        """Wait on, unless a whole head has arrived."""
        super().data_received(data)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless an answer is already on its way."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": "this is not a request as HTTP has them."}).encode()
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("x-content-type-options", "nosniff"),
                ("connection", "close"),
            ]
            head = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_header(self) -> None:
        if self.transport.is_closing() or (
            self.cycle is not None and not self.cycle.response_complete
        ):
            self._stop_waiting()
        elif self._patience is None:
            self._patience = self.loop.call_later(self.header_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Server(uvicorn.Server):
    """Says when it has started, and ends quietly when it is told to stop."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._tell_started is not None:
            self._tell_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on Ctrl-C and SIGTERM; unlike uvicorn's own, do not raise them again afterwards.

        Only the main thread is told of signals; a server in another one goes on until it ends.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
