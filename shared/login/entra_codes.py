"""The codes by which Microsoft Entra names what is wrong with a login.

Source: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

import re

from shared.errors import TokenError


def entra_code(error: TokenError) -> str:
    """Return the AADSTS number where Entra gave one (it says more than `invalid_grant`), else the error's code."""
    found = re.search(r"AADSTS\d+", str(error))
    return found.group() if found else error.code
