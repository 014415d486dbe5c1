"""Which invocation this thread works for, as the Functions worker knows it.

The worker keeps the id in a context variable that its library exports (`azure_functions_runtime.invocation_id_cv`), by
which it also names the invocation of a log line. It is looked up and not imported: the app runs without the worker.
"""

import sys

from shared.clock import new_id


def invocation_id() -> str:
    """Return the id of the invocation, or a fresh one where there is none."""
    variable = getattr(sys.modules.get("azure_functions_runtime"), "invocation_id_cv", None)
    return str((variable.get() if variable is not None else "") or new_id())
