"""``pellucid serve``: the local page of one run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from pellucid._checks import UsageError, check_integer, check_number
from pellucid.cli.arguments import (
    Parser,
    add_device_option,
    add_output_options,
    errors_in_flags,
    integer,
    number,
)
from pellucid.cli.output import print_json, print_lines, print_note

_NEEDED = ("starlette", "uvicorn", "python_multipart")


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "serve",
        "Serve a page on this computer, for this computer alone: the tree of a run, its test\n"
        "images, and a place to drop an image and follow its path. Ctrl-C ends it.",
        ["pellucid serve runs/photos", "pellucid serve runs/photos --port 0 --open"],
    )
    parser.add_argument("run", metavar="RUN", help="the run folder that `pellucid fit` made")
    parser.add_argument(
        "--port", type=integer, default=8000, metavar="N", help="(8000); 0 takes any free one"
    )
    parser.add_argument(
        "--max-upload-mb",
        type=number,
        default=16.0,
        metavar="MB",
        help="larger files are refused (16)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_output_options(parser)
    add_device_option(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Serve until stopped; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    with errors_in_flags(parser):
        check_integer("port", values.port, low=0, high=65535)
        check_number("max_upload_mb", values.max_upload_mb, low=0, high=256, open_low=True)
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"pellucid serve needs {', '.join(missing).replace('_', '-')}. Install what it needs "
            "with: pip install 'pellucid[serve]'"
        )
    from pellucid.web.local_model import LocalModel
    from pellucid.web.server import claim_port, serve

    with errors_in_flags(parser), claim_port(values.port) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        if not values.quiet:
            print_note(f"reading {values.run}")
        model = LocalModel.open(values.run, device=values.device, quiet=values.quiet)

        def tell() -> None:
            if values.json:
                print_json({"run": model.name, "url": url, "images": model.images})
            else:
                print_lines([f"page  {url}"])
            sys.stdout.flush()
            if not values.quiet:
                print_note("for this computer alone; Ctrl-C ends it")
            if values.open:
                _open(url)

        serve(model, listener, max_file_bytes=int(values.max_upload_mb * 2**20), started=tell)
    return 0


def _open(url: str) -> None:
    import threading
    import webbrowser

    # A browser in the terminal would hold up the page that it is to show.
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
