"""Who a visitor is: an id that their browser keeps in a cookie, and the name that stands for it everywhere else.

The id is 128 random bits. Whoever holds it is that visitor, so it is in no link, page, log or database: everything here works
with its hash, from which nobody gets back to it. A browser that keeps no cookies is a new visitor with every connection.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

COOKIE = "imu_visitor"
YEAR = 365 * 86_400  # seconds that a browser keeps it after the last visit
_ID = re.compile(r"[0-9a-f]{32}")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def new_id() -> str:
    """A new id of 32 hex digits, which nobody else has and nobody can guess."""
    return secrets.token_hex(16)


def is_id(text: object) -> bool:
    """Whether `text` is an id as `new_id` makes them."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def name_of(visitor_id: str) -> str:
    """64 hex digits that stand for the visitor in memory and in the database; the id cannot be found from them."""
    return hashlib.sha256(f"imu visitor {visitor_id}".encode()).hexdigest()


class VisitorCookie:
    """An ASGI application around a server's `app`: it adds the cookie, the old one or a new one, to every page it sends.

    `path` is the server's path on its host. No cache on the way may keep a page that carries a cookie, so that two visitors
    never get the same cookie.
    """

    def __init__(self, app: Application, path: str = "/") -> None:
        self._app, self._path = app, "/" + path.strip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or "text/html" not in _header(scope, b"accept"):
            await self._app(scope, receive, send)
            return
        cookie = self._cookie(scope)

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (200, 304):
                headers = [pair for pair in message["headers"] if pair[0].lower() != b"cache-control"]
                extra = [(b"cache-control", b"private, no-store"), (b"set-cookie", cookie.encode())]
                message = {**message, "headers": [*headers, *extra]}
            await send(message)

        await self._app(scope, receive, with_cookie)

    def _cookie(self, scope: Scope) -> str:
        secure = scope.get("scheme") == "https" or _header(scope, b"x-forwarded-proto").split(",")[0].strip() == "https"
        rest = f"Path={self._path}; Max-Age={YEAR}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        return f"{COOKIE}={_given(scope) or new_id()}; {rest}"


def _header(scope: Scope, name: bytes) -> str:
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)


def _given(scope: Scope) -> str | None:
    """The id that the browser sent, or None."""
    try:
        cookie = SimpleCookie(_header(scope, b"cookie").replace(", ", "; ")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie is not None and is_id(cookie.value) else None
