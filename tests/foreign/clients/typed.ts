// What odata2ts made of $metadata, used: it must type-check, and read. Environment: BC_API (without company), BC_TOKEN, COMPANY.
import { FetchClient } from "@odata2ts/http-client-fetch";

import { navService as Nav } from "./generated/navService";

const { BC_API = "", BC_TOKEN = "", COMPANY = "" } = process.env;

async function main(): Promise<void> {
  const client = new FetchClient({ headers: { Authorization: `Bearer ${BC_TOKEN}` } });
  const nav = new Nav(client, BC_API);
  const items = nav.companies(COMPANY).items();
  const page = await items.query((ask, item) => ask.filter(item.number.eq("1896-S")).select("number", "displayName", "unitPrice"));
  const orders = await nav.companies(COMPANY).salesOrders().query((ask) => ask.top(1).expand("salesOrderLines"));
  const row = page.data.value[0];
  const lines = orders.data.value[0].salesOrderLines?.length ?? 0;
  const price: number = row.unitPrice ?? 0;
  console.log(JSON.stringify({ number: row.number, name: row.displayName, price, lines }));
}

void main();
