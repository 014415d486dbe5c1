"""Takes a shop's order by HTTP and sends it to `sales-orders` through an output binding, which writes base64.

Settings: `CONNECT_STORAGE`, the connection string of the storage account that Business Central Connect reads;
`COMPANY`, the id or name of the company in Business Central.
"""

import json
import os

import azure.functions as func
from send_order import message

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route("orders", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="sales-orders", connection="CONNECT_STORAGE")
def take_order(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    """Answer 202 when the order is in the queue: the host writes the output before it answers."""
    order = req.get_json()
    out.set(message(order, os.environ["COMPANY"]))
    return func.HttpResponse(json.dumps({"orderKey": order["id"]}), status_code=202, mimetype="application/json")
