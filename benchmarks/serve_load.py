"""Does ``pellucid serve`` stay up, correct and small, whatever it is sent?

    python benchmarks/serve_load.py RUN

starts ``pellucid serve RUN`` in a process of its own and sends it damaged pictures and bodies,
bodies of 40 MB in four ways, decompression bombs, other hosts and origins, path tricks in names,
senders who never end, and 50 requests at a time. It ends with an error if a status is wrong, if the
program writes anything of its own to its terminal, if its memory has grown by more than the bound,
or if it does not stop. Writes ``docs/measurements/local-page.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hostile_uploads import NAMES, HostileUpload, draw_uploads, make_body, make_bomb, sound_pictures
from machine import describe_machine, machine_line
from PIL import Image

TABLE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "local-page.md"
LARGE_BYTES = 40 * 2**20
REMARK = re.compile(r"^_?(tempfile\.tif: |\w*(TIFF|LZW|Strip|Decode)\w*: )")
"""What libtiff, a C library, writes by itself."""
GROWTH_MB = 48
"""Most that the resident memory may grow from after the warm-up to the end."""


@dataclass
class Trial:
    """What one kind of attack was answered with."""

    name: str
    expected: frozenset[int]
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def count(self, status: int, seconds: float, *, right: bool, what: str = "") -> None:
        """Take one answer in."""
        self.statuses[status] += 1
        self.seconds.append(seconds)
        if not right:
            self.wrong.append(f"{what or self.name}: {status}")


@dataclass
class Server:
    """The program under attack."""

    process: subprocess.Popen[str]
    port: int

    @classmethod
    def start(cls, run: str) -> Server:
        """Start it and wait until it listens."""
        process = subprocess.Popen(
            [sys.executable, "-m", "pellucid", "serve", run, "--port", "0", "--json", "--quiet"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = process.stdout.readline()
            if not line:
                raise SystemExit(process.communicate()[1])
            said += line
        return cls(process, int(json.loads(said)["url"].rsplit(":", 1)[1].strip("/")))

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Return its resident memory, or with ``VmHWM`` the most it ever was."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        raise SystemExit("this system does not tell how much memory a process has")

    def open_files(self) -> int:
        """Return how many files and connections it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - of another process

    def post(
        self, content_type: str, body: bytes | Iterator[bytes], **headers: str
    ) -> tuple[int, dict, float]:
        """Send a body; return the status, the answer and the seconds it took."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            given["Content-Type"] = content_type
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/explain", body, given)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return response.status, json.loads(content), time.perf_counter() - began


def send_hostile(server: Server, count: int, seed: int) -> list[Trial]:
    """Send damaged uploads, one after the other."""
    trials: dict[str, Trial] = {}
    for upload in draw_uploads(seed, count):
        _send_one(server, upload, trials)
    return list(trials.values())


def _send_one(server: Server, upload: HostileUpload, trials: dict[str, Trial]) -> None:
    # One row a kind, whatever the format.
    name = " ".join("…" if word in sound_pictures() else word for word in upload.kind.split())
    trial = trials.setdefault(name, Trial(name, upload.expected))
    status, answer, seconds = server.post(upload.content_type, upload.body)
    right = status in upload.expected and (status == 200 or list(answer) == ["error"])
    trial.count(status, seconds, right=right, what=upload.kind)


def send_large(server: Server) -> list[Trial]:
    """Send 40 MB with a length, without one, and with false ones."""
    kind, body = make_body(bytes(LARGE_BYTES))
    pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
    trials = []
    for name, given in (("40 MB", body), ("40 MB in chunks", pieces)):
        trial = Trial(name, frozenset({413}))
        status, _, seconds = server.post(kind, given)
        trial.count(status, seconds, right=status == 413)
        trials.append(trial)
    trial = Trial("40 MB that say they are 1,000 bytes", frozenset({400}))
    began = time.perf_counter()
    status = _send_raw(server.port, kind, body, stated=1000)
    trial.count(status, time.perf_counter() - began, right=status == 400)
    trials.append(trial)
    trial = Trial("1,000 bytes that say they are 40 MB", frozenset({413}))
    began = time.perf_counter()
    status = _send_raw(server.port, kind, body[:1000], stated=len(body))
    trial.count(status, time.perf_counter() - began, right=status == 413)
    trials.append(trial)
    return trials


def _send_raw(port: int, content_type: str, body: bytes, *, stated: int) -> int:
    head = (
        f"POST /explain HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {stated}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with contextlib.suppress(OSError):  # it need not listen to the end
            connection.sendall(head.encode() + body)
        return int(connection.recv(65536).split()[1])


def send_bombs(server: Server, count: int) -> list[Trial]:
    """Send files that decode to far more than they are, and the largest that is decoded."""
    trial = Trial("bomb of 400 megapixels", frozenset({413}))
    for _ in range(count):
        status, _, seconds = server.post(*make_body(make_bomb()))
        trial.count(status, seconds, right=status == 413)
    largest = Trial("picture of 49 megapixels", frozenset({200}))
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((7000, 7000, 3), np.uint8)).save(buffer, "PNG")
    status, _, seconds = server.post(*make_body(buffer.getvalue()))
    largest.count(status, seconds, right=status == 200)
    return [trial, largest]


def send_from_elsewhere(server: Server) -> list[Trial]:
    """Send what other sites would, and names that lead out of a folder."""
    picture = sound_pictures()["png"]
    kind, body = make_body(picture)
    hosts = Trial("another host", frozenset({421}))
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", "0.0.0.0:80", ""):
        status, _, seconds = server.post(kind, body, Host=host)
        hosts.count(status, seconds, right=status == 421)
    origins = Trial("another origin", frozenset({403}))
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "file://"):
        status, _, seconds = server.post(kind, body, Origin=origin)
        origins.count(status, seconds, right=status == 403)
    names = Trial("path tricks in the name", frozenset({200}))
    for name in NAMES:
        status, answer, seconds = server.post(*make_body(picture, name=name))
        is_text = status == 200 and answer["name"].isprintable()
        names.count(status, seconds, right=is_text, what=name)
    return [hosts, origins, names]


def send_endless(server: Server, count: int) -> list[Trial]:
    """Begin requests that never end, and ask for something meanwhile."""
    trial = Trial(f"besides {count} senders who never end", frozenset({200}))
    halves = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        head = f"POST /explain HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        if number % 2:
            head += (
                "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 999\r\n\r\n--x"
            )
        connection.sendall(head.encode())
        halves.append(connection)
    try:
        for _ in range(20):
            status, _, seconds = server.post(*make_body(sound_pictures()["png"]))
            trial.count(status, seconds, right=status == 200)
    finally:
        for connection in halves:
            connection.close()
    return [trial]


def send_parallel(server: Server, users: int, rounds: int, picture: bytes) -> list[Trial]:
    """Send a picture from many at a time; all must get the same answer."""
    trial = Trial(f"{users} at a time", frozenset({200}))
    kind, body = make_body(picture)
    expected = server.post(kind, body)[1]
    with ThreadPoolExecutor(users) as pool:
        for _ in range(rounds):
            for status, answer, seconds in pool.map(
                lambda _: server.post(kind, body), range(users)
            ):
                trial.count(status, seconds, right=status == 200 and answer == expected)
    return [trial]


def send_alone(server: Server, count: int, picture: bytes) -> list[Trial]:
    """Send a picture again and again, one at a time."""
    trial = Trial("one at a time", frozenset({200}))
    for _ in range(count):
        status, _, seconds = server.post(*make_body(picture))
        trial.count(status, seconds, right=status == 200)
    return [trial]


def write_table(
    parts: Sequence[tuple[str, Sequence[Trial]]], memory: dict[str, float], facts: Sequence[str]
) -> str:
    """Return the page of the measurements."""
    lines = [
        "# The local page under attack",
        "",
        "`python benchmarks/serve_load.py RUN` sends `pellucid serve` what a stranger or a broken "
        "program might. A status is *right* if it is one of those that the attack allows; 500 "
        "never is. Milliseconds are from connecting to the whole answer.",
        "",
    ]
    for heading, trials in parts:
        lines += [f"## {heading}", "", "| sent | times | answered | p50 ms | p95 ms | wrong |"]
        lines += ["|---|--:|---|--:|--:|--:|"]
        for trial in trials:
            statuses = ", ".join(
                f"{status}: {times:,}" for status, times in sorted(trial.statuses.items())
            )
            lines.append(
                f"| {trial.name} | {len(trial.seconds):,} | {statuses} "
                f"| {_quantile(trial.seconds, 0.5):.1f} | {_quantile(trial.seconds, 0.95):.1f} "
                f"| {len(trial.wrong)} |"
            )
        lines.append("")
    lines += ["## Memory", "", "| resident | MB |", "|---|--:|"]
    lines += [f"| {when} | {megabytes:.0f} |" for when, megabytes in memory.items()]
    lines += ["", *(f"- {fact}" for fact in facts), ""]
    machine = describe_machine(
        threads=1, distributions=("pellucid", "torch", "pillow", "starlette", "uvicorn")
    )
    return "\n".join([*lines, machine_line(machine), ""])


def _quantile(seconds: Sequence[float], share: float) -> float:
    if len(seconds) == 1:
        return 1000 * seconds[0]
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return 1000 * cuts[round(100 * share) - 1]


def main() -> None:
    """Attack, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--picture", type=Path, help="a picture of the run's kind")
    parser.add_argument("--uploads", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    values = parser.parse_args()
    picture = values.picture.read_bytes() if values.picture else sound_pictures()["png"]
    server = Server.start(values.run)
    memory = {"before the first picture": server.memory_mb()}
    send_alone(server, 100, picture)
    send_hostile(server, 200, values.seed + 1)
    memory["after a warm-up of 300"] = start = server.memory_mb()
    files = server.open_files()
    parts = [("Pictures as they should be", send_alone(server, 200, picture))]
    parts[0][1].extend(send_parallel(server, 50, 10, picture))
    memory["after 50 at a time"] = server.memory_mb()
    parts.append(
        (f"{values.uploads:,} damaged uploads", send_hostile(server, values.uploads, values.seed))
    )
    memory[f"after {values.uploads:,} damaged uploads"] = server.memory_mb()
    parts.append(("Large bodies", send_large(server)))
    memory["after 160 MB of bodies"] = server.memory_mb()
    parts.append(("Bombs", send_bombs(server, 20)))
    memory["after the bombs and a picture of 49 megapixels"] = server.memory_mb()
    parts.append(("From elsewhere", send_from_elsewhere(server)))
    parts.append(("Senders who never end", send_endless(server, 100)))
    send_alone(server, 100, picture)
    time.sleep(6)  # idle connections are closed after five seconds
    memory["at the end"] = end = server.memory_mb()
    memory["at its largest, while 49 megapixels were decoded"] = server.memory_mb("VmHWM")
    files_after = server.open_files()
    server.process.send_signal(signal.SIGINT)
    out, err = server.process.communicate(timeout=30)
    wrong = [line for _, trials in parts for trial in trials for line in trial.wrong]
    growth = end - start
    unexpected = [line for line in (out + err).splitlines() if not REMARK.search(line)]
    facts = [
        f"memory grew by {growth:.0f} MB from after the warm-up to the end (bound: {GROWTH_MB} MB)",
        f"open files: {files} after the warm-up, {files_after} at the end",
        f"lines on the terminal meanwhile: {len(err.splitlines())}, of them not libtiff's own "
        f"remarks on damaged TIFF files: {len(unexpected)}",
        f"Ctrl-C ended it with exit code {server.process.returncode}",
    ]
    page = write_table(parts, memory, facts)
    TABLE.write_text(page, encoding="utf-8")
    print(page)
    problems = [*wrong, *unexpected]
    if growth > GROWTH_MB:
        problems.append(f"memory grew by {growth:.0f} MB")
    if server.process.returncode:
        problems.append(f"exit code {server.process.returncode}")
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
