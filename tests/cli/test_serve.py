from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

SERVING = ("starlette", "uvicorn", "python_multipart", "multipart", "httpx", "playwright")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "70000"], "--port must be an integer in [0, 65535], got 70000"),
        (["--port", "http"], "--port must be an integer, got 'http'"),
        (["--max-upload-mb", "0"], "--max-upload-mb must be a number in (0, 256], got 0.0"),
        (["--host", "0.0.0.0"], "pellucid serve has no option '--host'"),
    ],
)
def test_serve_option_out_of_range_is_refused(pellucid, finished_run, options, message):
    outcome = pellucid("serve", finished_run, *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_serve_what_is_no_run_is_bad_data(pellucid, tmp_path):
    pytest.importorskip("starlette")
    outcome = pellucid("serve", tmp_path / "none", "--port", "0", "--quiet")
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1


def test_serve_port_that_is_taken_is_one_line_with_the_remedy(pellucid, finished_run):
    server = pytest.importorskip("pellucid.web.server")
    with server.claim_port(0) as taken:
        port = taken.getsockname()[1]
        outcome = pellucid("serve", finished_run, "--port", port)
    assert outcome.code == 2
    assert outcome.err == (
        f"pellucid: error: --port must be free, and another program listens on it, got {port}. "
        "Use --port 0 for any free one.\n"
    )


def test_serve_without_the_extra_says_how_to_get_it(pellucid, finished_run, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in SERVING else find(name),
    )
    outcome = pellucid("serve", finished_run)
    assert outcome.code == 2
    assert outcome.err == (
        "pellucid: error: pellucid serve needs starlette, uvicorn, python-multipart. Install what "
        "it needs with: pip install 'pellucid[serve]'\n"
    )


@pytest.mark.parametrize(
    "action",
    [
        "import pellucid",
        "import pellucid.cli, pellucid.web",
        "from pellucid.cli import main; main(['serve', '--help'])",
        "import pellucid; pellucid.explain",
        "import pellucid.cli.fit_run, pellucid.cli.explain, pellucid.reports.page",
    ],
)
def test_nothing_of_the_extra_is_imported_unless_asked_for(action):
    script = f"{action}\nimport sys\nprint([n for n in {SERVING!r} if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "[]", ran.stderr
