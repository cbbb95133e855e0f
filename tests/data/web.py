"""A server for downloads that is none: what it would answer is there at once."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import requests


def answer(body: bytes, **headers: str) -> requests.Response:
    """What `requests.get` would return for a file with this content."""
    response = requests.Response()
    response.status_code, response.raw = 200, io.BytesIO(body)
    response.headers.update(headers)
    return response


def answering(monkeypatch: pytest.MonkeyPatch, give: Callable[[str], requests.Response]) -> None:
    """From here on `give` answers, by the address, whatever is fetched."""
    monkeypatch.setattr(requests, "get", lambda url, **settings: give(url))
