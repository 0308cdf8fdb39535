"""The local page in a real browser: served by the program itself, used as a reader would."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pellucid
from pellucid.cli import main
from pellucid.web import server
from pellucid.web.local_model import LocalModel
from pellucid.web.server import claim_port
from tests.cli.sample_photos import QUICK, make_photos

MARKUP = "<img src=x onerror=alert(1)>.png"
DROP = """
([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
}
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return make_photos(tmp_path_factory.mktemp("served") / "photos")


@pytest.fixture(scope="module")
def photo(photos) -> bytes:
    return (photos / "dog" / "03.png").read_bytes()


@pytest.fixture(scope="module")
def model(photos) -> LocalModel:
    run = photos.parent / "run"
    assert main(["fit", str(photos), "-o", str(run), "--quiet", *QUICK]) == 0
    return LocalModel.open(run, device="cpu", quiet=True)


@pytest.fixture(scope="module")
def url(model) -> Iterator[str]:
    """Serve the model from a thread of this process."""
    listener = claim_port(0)
    begun, servers = threading.Event(), []
    patch = pytest.MonkeyPatch()

    class Stoppable(server._Server):
        def capture_signals(self):
            servers.append(self)
            return _nothing()

    patch.setattr(server, "_Server", Stoppable)
    thread = threading.Thread(
        target=server.serve,
        args=(model, listener),
        kwargs={"max_file_bytes": 2**20, "started": begun.set},
    )
    number = listener.getsockname()[1]
    thread.start()
    assert begun.wait(20)
    yield f"http://127.0.0.1:{number}/"
    servers[0].should_exit = True
    thread.join(20)
    patch.undo()
    assert not thread.is_alive()


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


@dataclass
class Opened:
    """The page, whom it asked for what, and what it complained about."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def choose(self, content: bytes, name: str) -> None:
        file = {"name": name, "mimeType": "image/png", "buffer": content}
        self.page.locator("input[type=file]").set_input_files(file)

    def wait_for_answer(self, name: str) -> Any:
        """Return the article about an image."""
        article = self.page.locator("article.explained").filter(has_text=name).first
        article.wait_for()
        return article

    def said(self) -> str:
        return self.page.locator(".drop [role=status]").inner_text()


@pytest.fixture
def opened(chromium, url) -> Iterator[Opened]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    opened = Opened(context.new_page())
    context.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("dialog", lambda dialog: opened.complaints.append(dialog.message))
    opened.page.on(
        "console",
        lambda said: opened.complaints.append(said.text) if said.type == "error" else None,
    )
    opened.page.goto(url)
    opened.page.wait_for_function("document.documentElement.dataset.ready === 'true'")
    yield opened
    context.close()


def test_page_shows_the_path_of_a_chosen_file(opened, model, photo):
    opened.choose(photo, "mine.png")
    article = opened.wait_for_answer("mine.png")
    explained = pellucid.explain(model.fitted, Image.open(io.BytesIO(photo)))
    assert explained.prediction in article.locator("h4").inner_text()
    assert article.locator("ol.steps > li").count() == len(explained.path)
    assert opened.complaints == []


def test_page_shows_the_path_of_a_dropped_file(opened, photo):
    opened.page.evaluate(DROP, ["dropped.png", base64.b64encode(photo).decode()])
    opened.wait_for_answer("dropped.png")
    assert opened.complaints == []


def test_page_shows_a_name_with_markup_as_text(opened, photo):
    opened.choose(photo, MARKUP)
    article = opened.wait_for_answer(MARKUP)
    assert MARKUP in article.locator("h4").inner_text()
    assert opened.page.locator("img[src=x]").count() == 0
    assert opened.complaints == []


def test_page_says_why_a_file_is_not_possible_and_takes_the_next_one(opened, photo):
    opened.choose(b"no picture", "text.png")
    opened.page.get_by_text("Not possible: ").wait_for()
    assert "text.png: the content is not a picture of a known format" in opened.said()
    opened.choose(photo, "next.png")
    opened.wait_for_answer("next.png")
    assert "Not possible" not in opened.said()


def test_page_asks_its_own_program_alone(opened, url, photo):
    opened.choose(photo, "mine.png")
    opened.wait_for_answer("mine.png")
    assert set(opened.requests) <= {url, f"{url}explain", f"{url}favicon.ico"}
