"""The routes of the local page: the page itself, and the answer to a picture."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pellucid.data.pictures import PictureError
from pellucid.web.guard import Guard
from pellucid.web.refusal import RequestRefused
from pellucid.web.uploads import Memory, busy, read_upload

MAX_REQUESTS = 128
"""More pictures than this at a time, waiting or in work, are refused."""
_UPLOADS_IN_MEMORY = 8
_UPLOAD_SECONDS = 30.0
_STATUS_OF_PICTURE = {"not_an_image": 415, "too_large": 413, "empty_file": 400}
_DAMAGED = 422
_KNOWN = "Send a PNG, JPEG, GIF, WebP, TIFF or BMP file."
_REMEDIES = {
    "not_an_image": _KNOWN,
    "empty_file": _KNOWN,
    "too_large": "Send a smaller picture.",
}


class Answering(Protocol):
    """What the application needs of a model."""

    @property
    def name(self) -> str:
        """Of the run."""
        ...

    @property
    def page(self) -> str:
        """The HTML page."""
        ...

    @property
    def script_source(self) -> str:
        """The hash of its script."""
        ...

    def answer(self, content: bytes, name: str) -> dict[str, Any]:
        """Explain a picture file's content."""
        ...


class LocalPage:
    """The page of one model, and the work in progress for it.

    One thread answers, picture after picture: so a model never sees two at a time, and the memory
    that decoding takes is that of one picture.

    Args:
        model: Draws and answers.
        max_file_bytes: Of an uploaded file.
        max_requests: Pictures at a time, waiting or in work.
        upload_seconds: In which a file must have arrived.
    """

    def __init__(
        self,
        model: Answering,
        *,
        max_file_bytes: int,
        max_requests: int = MAX_REQUESTS,
        upload_seconds: float = _UPLOAD_SECONDS,
    ) -> None:
        self._model = model
        self._page = model.page.encode("utf-8", errors="backslashreplace")
        self._max_file_bytes = max_file_bytes
        self._max_requests = max_requests
        self._upload_seconds = upload_seconds
        self._requests = 0
        self._memory = Memory(_UPLOADS_IN_MEMORY * (max_file_bytes + 2**20))
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pellucid-answers")

    def application(self, *, port: int) -> Starlette:
        """Return it as an ASGI application.

        Args:
            port: The port under which browsers reach it.
        """
        application = Starlette(
            routes=[
                Route("/", self.show),
                Route("/explain", self.explain, methods=["POST"]),
                Route("/healthz", self.report_health),
                Route("/favicon.ico", self.show_no_icon),
            ],
            middleware=[Middleware(Guard, port=port, script_source=self._model.script_source)],
            exception_handlers={HTTPException: _answer_error},
        )
        application.router.redirect_slashes = False  # a path that is not there is not there
        return application

    def close(self) -> None:
        """Begin no more work; what is being decoded ends by itself."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def show(self, request: Request) -> Response:
        """Return the page."""
        return HTMLResponse(self._page)

    async def report_health(self, request: Request) -> Response:
        """Say that the program runs, and how much it has to do."""
        return JSONResponse({"status": "ok", "run": self._model.name, "requests": self._requests})

    async def show_no_icon(self, request: Request) -> Response:
        """Return nothing: browsers ask for an icon unasked."""
        return Response(status_code=204)

    async def explain(self, request: Request) -> Response:
        """Answer a picture with its path, or say why not."""
        if self._requests >= self._max_requests:
            return _refuse(busy())
        self._requests += 1
        try:
            return JSONResponse(await self._answer(request))
        except RequestRefused as refusal:
            return _refuse(refusal)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return _refuse(
                RequestRefused(500, "this picture met a bug; the program's terminal says more.")
            )
        finally:
            self._requests -= 1

    async def _answer(self, request: Request) -> dict[str, Any]:
        upload = await read_upload(
            request.stream(),
            _lower_names(request.headers),
            max_file_bytes=self._max_file_bytes,
            memory=self._memory,
            timeout_seconds=self._upload_seconds,
        )
        held = len(upload.content)
        self._memory.take(held)
        work = self._worker.submit(self._model.answer, upload.content, upload.name)
        answer = asyncio.wrap_future(work)
        answer.add_done_callback(_look_at_error)
        left = asyncio.ensure_future(_wait_until_gone(request))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ClientDisconnect
            return answer.result()
        except PictureError as error:
            detail = " ".join(filter(None, [f"{error.detail}.", _REMEDIES.get(error.kind)]))
            status = _STATUS_OF_PICTURE.get(error.kind, _DAMAGED)
            raise RequestRefused(status, f"{upload.name}: {detail}") from None
        finally:
            work.cancel()  # what has not begun need not be done for somebody who has gone
            left.cancel()
            self._memory.give_back(held)


def _look_at_error(answer: asyncio.Future[Any]) -> None:
    """Keep asyncio from printing an error of work that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()


async def _wait_until_gone(request: Request) -> None:
    """Return when whoever asked has hung up; to be called when the whole body has come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _refuse(refusal: RequestRefused) -> Response:
    return JSONResponse({"error": refusal.message}, refusal.status, refusal.headers)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {
        404: f"there is nothing at {request.url.path[:100]!r}. The page is at '/'.",
        405: f"{request.method} is not possible here. Get '/', or post a picture to '/explain'.",
    }
    message = said.get(error.status_code, error.detail)
    return JSONResponse({"error": message}, error.status_code, error.headers)
