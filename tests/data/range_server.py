"""A local HTTP server that serves bytes well or badly."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirrors:
    """Paths served, and the requests that came.

    Attributes:
        files: Bytes by path.
        cut_after: By path, how many bytes each reply sends before the connection is cut.
        without_ranges: Paths that ignore the Range header.
        requests: (path, Range header) of each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_after: dict[str, int] = {}
        self.without_ranges: set[str] = set()
        self.requests: list[tuple[str, str | None]] = []
        self.url: Callable[[str], str] = lambda path: path


@contextlib.contextmanager
def serve_mirrors() -> Iterator[Mirrors]:
    mirrors = Mirrors()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            mirrors.requests.append((self.path, wanted))
            if self.path not in mirrors.files:
                self.send_error(404)
                return
            content = mirrors.files[self.path]
            start = 0
            if wanted and self.path not in mirrors.without_ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + mirrors.cut_after.get(self.path, len(content))
            self.wfile.write(content[start:end])
            self.wfile.flush()
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    mirrors.url = lambda path: f"http://127.0.0.1:{server.server_address[1]}{path}"
    try:
        yield mirrors
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
