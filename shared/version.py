"""The version of this app: in the User-Agent of its calls, in status and health; `pyproject.toml` says the same."""

from typing import Final

VERSION: Final = "0.2.0"
USER_AGENT: Final = f"business-central-connect/{VERSION}"
