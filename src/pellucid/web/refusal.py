"""A request that is refused, with the status and the sentence that its sender is told."""

from __future__ import annotations

from collections.abc import Mapping


class RequestRefused(Exception):
    """Answered with ``{"error": message}``.

    Attributes:
        status: HTTP status, 4xx or 5xx.
        message: What is wrong and what would be right.
        headers: To send along.
    """

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
