"""Only this page may talk to its program: who is addressed, who asks, and what may be done with it.

A program on 127.0.0.1 can be reached from any site that its user visits. Such a site may have its
own name resolve to 127.0.0.1 (the Host header then names it) or may post a form across (the Origin
header then names it). Both are refused.
"""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.web.refusal import RequestRefused

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")


class Guard:
    """Checks every request before the application sees it, and adds headers to every response.

    Args:
        app: What is guarded.
        port: That it listens on.
        script_source: The one script that the page may run, as a content security policy names it.
    """

    def __init__(self, app: ASGIApp, *, port: int, script_source: str) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in _NAMES}
        if port == 80:
            self._hosts |= set(_NAMES)
        self._origins = {f"http://{host}" for host in self._hosts}
        self._headers = [
            (name.encode(), value.encode()) for name, value in _list_headers(script_source).items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # there are no web sockets; the rest comes from the server
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        refusal = self._refuse(scope)
        if refusal is not None:
            response = JSONResponse({"error": refusal.message}, refusal.status, refusal.headers)
            await response(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> RequestRefused | None:
        given: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            given.setdefault(name, []).append(value.decode("latin-1").strip().lower())
        if len(hosts := given.get(b"host", [])) != 1 or hosts[0] not in self._hosts:
            return RequestRefused(
                421, f"this page is only served as {' or '.join(sorted(self._origins))}."
            )
        if scope["method"] in ("GET", "HEAD"):
            return None
        # Browsers say where a post comes from; other programs do not, and are no other site.
        origins = given.get(b"origin", [])
        sites = given.get(b"sec-fetch-site", [])
        if any(origin not in self._origins for origin in origins) or any(
            site not in ("same-origin", "none") for site in sites
        ):
            return RequestRefused(403, "only this program's own page may send it pictures.")
        return None


def _list_headers(script_source: str) -> dict[str, str]:
    policy = {
        "default-src": "'none'",
        "script-src": script_source,
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }
