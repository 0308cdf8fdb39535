from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.hostile_uploads import make_body
from pellucid._checks import UsageError
from pellucid.web import server
from pellucid.web.server import claim_port


@contextlib.contextmanager
def served(run_folder, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``pellucid serve`` in a process of its own; yield it and its port."""
    command = [sys.executable, "-m", "pellucid", "serve", str(run_folder), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--quiet", "--device", "cpu", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()
            said += line
        yield process, int(json.loads(said)["url"].rsplit(":", 1)[1].rstrip("/"))
    finally:
        process.kill()
        process.communicate()


def ask(port: int, method: str, path: str, body=None, headers=None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def raw(port: int, content: bytes) -> bytes:
    """Return everything that is answered to bytes that need not be HTTP."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


@pytest.fixture(scope="module")
def port(run_folder) -> Iterator[int]:
    with served(run_folder, "--max-upload-mb", "1") as (_, port):
        yield port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process there")
def test_serve_starts_answers_and_stops_without_a_trace(run_folder, photo, number):
    with served(run_folder) as (process, port):
        kind, body = make_body(photo)
        status, answer = ask(port, "POST", "/explain", body, {"content-type": kind})
        assert status == 200
        assert json.loads(answer)["name"] == "photo.png"
        idle = socket.create_connection(("127.0.0.1", port))
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        idle.close()
    assert (process.returncode, out, err) == (0, "", "")


def test_serve_large_body_is_refused_while_it_is_sent(port):
    kind, body = make_body(bytes(6 * 2**20))
    assert ask(port, "POST", "/explain", body, {"content-type": kind})[0] == 413


def test_serve_large_body_of_unknown_length_is_refused(port):
    kind, body = make_body(bytes(6 * 2**20))
    pieces = (body[start : start + 50_000] for start in range(0, len(body), 50_000))
    assert ask(port, "POST", "/explain", pieces, {"content-type": kind})[0] == 413


def test_serve_body_longer_than_it_says_is_cut_there(port, photo):
    kind, body = make_body(photo)
    head = f"POST /explain HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
    answer = raw(port, f"{head}Content-Length: 300\r\n\r\n".encode() + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"ends too early" in answer


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",  # TLS
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["tls", "nonsense", "two hosts", "long header", "negative length"],
)
def test_serve_what_is_not_http_is_refused(port, content):
    answer = raw(port, content)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert list(json.loads(answer.split(b"\r\n\r\n", 1)[1])) == ["error"]


def test_serve_request_without_a_host_is_misdirected(port):
    assert raw(port, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_serve_listens_to_this_computer_alone(port):
    with claim_port(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@contextlib.contextmanager
def served_in_a_thread(model, monkeypatch) -> Iterator[int]:
    """Serve a model in this process, in a thread that is told of no signals; give its port."""
    listener = claim_port(0)
    begun = threading.Event()
    servers = []
    startup = server._Server.startup

    async def note(self, sockets=None):
        servers.append(self)
        await startup(self, sockets)

    monkeypatch.setattr(server._Server, "startup", note)
    thread = threading.Thread(
        target=server.serve,
        args=(model, listener),
        kwargs={"max_file_bytes": 100_000, "started": begun.set},
    )
    port = listener.getsockname()[1]
    thread.start()
    try:
        assert begun.wait(20)
        yield port
    finally:
        servers[0].should_exit = True
        thread.join(20)
    assert not thread.is_alive()


def test_serve_sender_who_never_ends_a_request_is_cut_off(stand_in, monkeypatch):
    monkeypatch.setattr(server.TimedProtocol, "header_seconds", 0.05)
    with served_in_a_thread(stand_in(), monkeypatch) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: 127")
            assert slow.recv(100) == b""
        assert ask(port, "GET", "/healthz")[0] == 200


def test_serve_caller_who_hangs_up_while_waiting_costs_no_work(stand_in, photo, monkeypatch):
    begun, released = threading.Event(), threading.Event()
    answered = []

    def wait(content, name):
        answered.append(name)
        begun.set()
        assert released.wait(20)
        return {}

    def requests_are(count: int) -> bool:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if json.loads(ask(port, "GET", "/healthz")[1])["requests"] == count:
                return True
            time.sleep(0.01)
        return False

    with served_in_a_thread(stand_in(wait), monkeypatch) as port:
        kind, body = make_body(photo)
        post = ("POST", "/explain", body, {"content-type": kind})
        first = threading.Thread(target=ask, args=(port, *post))
        first.start()
        try:
            assert begun.wait(20)
            gone = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            gone.request(*post)
            assert requests_are(2)
            gone.close()
            assert requests_are(1)
        finally:
            released.set()
            first.join(20)
        assert requests_are(0)
    assert len(answered) == 1


def test_claim_port_that_is_taken_says_what_to_do():
    with claim_port(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"another program listens on it, got {port}\. Use p"):
            claim_port(port)
