"""What an environment answers to the open questions, for us: `status?facts=1` and `doctor.py --facts` show it.

On demand only. Holds no business data and no name of a company, so that it can be sent on as it is.
"""

from typing import Any

from shared.connections.context import Context
from shared.version import VERSION


def collected(ctx: Context) -> dict[str, Any]:
    """Return the answers of a connection's environment, asked in its first company.

    Raises:
        BCError, TokenError, BudgetExhausted, StoreUnavailable: the companies can't be listed, or nothing can be asked.
    """
    companies = ctx.companies.served()
    return {
        "version": VERSION,
        "at": ctx.now(),
        "facts": ctx.bc.facts(companies[0].key) if companies else {},
    }
