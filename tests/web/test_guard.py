from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse

from pellucid.web.guard import Guard
from tests.web.coroutines import run


def ask(*headers: tuple[str, str], method: str = "POST", port: int = 8000) -> int:
    """Return the status of a request with exactly these headers."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    guard = Guard(PlainTextResponse("fine"), port=port, script_source="'none'")
    run(guard(scope, receive, send))
    assert (b"x-content-type-options", b"nosniff") in sent[0]["headers"]
    return sent[0]["status"]


OWN = ("host", "127.0.0.1:8000")


def test_guard_lets_this_computer_s_programs_pass():
    assert ask(OWN) == 200


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [OWN, OWN],
        [OWN, ("host", "evil.example")],
        [("host", "")],
        [("host", "127.0.0.1:8000.evil.example")],
        [("host", "evil.example:8000@127.0.0.1:8000")],
        [("host", "0.0.0.0:8000")],
        [("host", "[::1]:8000")],
    ],
)
def test_guard_host_that_is_not_this_one_is_misdirected(hosts):
    assert ask(*hosts) == 421


def test_guard_port_80_need_not_be_named():
    assert ask(("host", "localhost"), port=80) == 200
    assert ask(("host", "localhost:80"), port=80) == 200


def test_guard_link_from_another_site_may_show_the_page():
    assert ask(OWN, ("sec-fetch-site", "cross-site"), method="GET") == 200


def test_guard_any_other_origin_of_several_is_refused():
    own = ("origin", "http://127.0.0.1:8000")
    assert ask(OWN, own) == 200
    assert ask(OWN, own, ("origin", "http://evil.example")) == 403
