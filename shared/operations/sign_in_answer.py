"""What Entra may send to the callback, and nothing else: the four fields that MSAL needs, checked. Pure.

The callback is open to anybody, and MSAL trusts what it is given: a line break in `error` goes into its telemetry
header and makes every later request of the process fail, `client_info` becomes a header, too.
Source: RFC 6749, sections 4.1.2 and 4.1.2.1 (characters of `code`, `state`, `error` and `error_description`).
"""

import re
from collections.abc import Mapping
from typing import Final

_VISIBLE: Final = re.compile(r"[\x20-\x7e]{0,8192}")
_ERROR: Final = re.compile(r"[A-Za-z0-9_.-]{0,100}")
_MOST_DESCRIPTION: Final = 2_000


def sign_in_answer(query: Mapping[str, str]) -> dict[str, str] | None:
    """Return `state`, `code`, `error` and `error_description` of a callback, None when Entra can't have sent it."""
    state, code, error = (query.get(name, "") for name in ("state", "code", "error"))
    if not state or not (code or error):
        return None
    if not (_VISIBLE.fullmatch(state) and _VISIBLE.fullmatch(code) and _ERROR.fullmatch(error)):
        return None
    answer = {"state": state}
    if code:
        answer["code"] = code
    if error:
        sent = query.get("error_description", "")[:_MOST_DESCRIPTION]
        description = "".join(sign if sign.isprintable() else " " for sign in sent)
        answer |= {"error": error, "error_description": description}
    return answer
