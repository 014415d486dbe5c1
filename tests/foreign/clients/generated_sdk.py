"""pybusinesscentral, which others made of Microsoft's OpenAPI document, lists. Environment: BC_API, BC_TOKEN."""

import json
import os

from pybusinesscentral import ApiClient, Configuration
from pybusinesscentral.api.company_api import CompanyApi
from pybusinesscentral.api.customer_api import CustomerApi

settings = Configuration(host=os.environ["BC_API"], access_token=os.environ["BC_TOKEN"])
with ApiClient(settings) as client:
    client.set_default_header("Authorization", f"Bearer {os.environ['BC_TOKEN']}")
    companies = CompanyApi(client).list_companies().value
    customers = CustomerApi(client).list_customers(companies[0].id, top=2).value
print(json.dumps({"companies": [one.name for one in companies], "customers": len(customers)}))
