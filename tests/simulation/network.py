"""The way to Business Central with a point before and after every call, and pages no larger than the run wants."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from business_central_emulator import BusinessCentral, EngineAdapter

_PAGE: Final = "odata.maxpagesize="


class PointedAdapter(EngineAdapter):
    """An engine adapter whose calls can be interrupted; `page_rows` is what this BC serves at most in one page."""

    def __init__(
        self,
        engine: BusinessCentral,
        *,
        point: Callable[[str], None],
        on_delay: Callable[[float], object],
        page_rows: int | None = None,
        date_ahead: Callable[[], timedelta] = timedelta,
    ) -> None:
        """Take the engine and the hook that is called with `before GET items` and the like.

        `date_ahead`: how far the clock is ahead of BC's that writes the answers' `Date`.
        """
        super().__init__(engine, on_delay=on_delay)
        self._date_ahead = date_ahead
        self._point = point
        self._page_rows = page_rows

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one request; whatever the hook raises reaches the caller."""
        name = f"{request.method} {_collection(request.url or '')}"
        wanted = request.headers.get("Prefer", "")
        if self._page_rows is not None and wanted.startswith(_PAGE):
            request.headers["Prefer"] = f"{_PAGE}{min(self._page_rows, int(wanted.removeprefix(_PAGE)))}"
        self._point(f"before {name}")
        response = super().send(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        self._point(f"after {name}")
        ahead, date = self._date_ahead(), response.headers.get("Date")
        if ahead and date:
            response.headers["Date"] = format_datetime(parsedate_to_datetime(date) + ahead, usegmt=True)
        return response


def _collection(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2].partition("(")[0]
