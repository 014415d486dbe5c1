"""bc-cli's SDK reads, pages and creates. Environment: BC_ORIGIN, BC_ENVIRONMENT, BC_COMPANY, BC_TOKEN."""

import asyncio
import json
import os

import bcli._url
from bcli import AsyncBCClient
from bcli.auth._static import StaticTokenAuth

bcli._url.BC_BASE_URL = f"{os.environ['BC_ORIGIN']}/v2.0"  # the only place that it knows


async def main() -> None:
    """Ask as its README does."""
    async with AsyncBCClient(
        tenant_id="t", client_id="c", client_secret="s", environment=os.environ["BC_ENVIRONMENT"],
        company_id=os.environ["BC_COMPANY"], auth=StaticTokenAuth(os.environ["BC_TOKEN"]),
    ) as client:  # fmt: skip
        items = await client.query("items").filter("number eq '1896-S'").select("number").get()
        customers = await client.query("customers").top(3).get()
        print(json.dumps({"items": [one["number"] for one in items], "customers": len(customers)}))


asyncio.run(main())
