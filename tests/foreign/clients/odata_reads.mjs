// o.js, @odata/client and odata-query read items; each prints what it found. Environment: BC_ROOT (of a company), BC_TOKEN.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { o } = require("o.js");
const { OData } = require("@odata/client");
const buildQuery = require("odata-query").default;
const { BC_ROOT: root, BC_TOKEN: token } = process.env;
const headers = { Authorization: `Bearer ${token}` };

const withOjs = await o(`${root}/`, { headers }).get("items").query({ $filter: "number eq '1896-S'", $select: "number" });
const made = await o(`${root}/`, { headers: { ...headers, "Content-Type": "application/json" } })
  .post("items", { displayName: "From o.js" }).query();

const client = OData.New4({ serviceEndpoint: `${root}/`, commonHeaders: headers });
const filter = client.newFilter().property("number").eq("1896-S");
const withClient = await client.newRequest({ collection: "items", params: client.newParam().filter(filter).top(1) });

const query = buildQuery({
  filter: { and: [{ unitPrice: { gt: 100 } }, { displayName: { contains: "a" } }] },
  select: ["number", "unitPrice"], expand: { itemVariants: { select: ["code"] } }, orderBy: ["unitPrice desc"], top: 3, count: true,
});
const answer = await fetch(`${root}/items${query}`, { headers });

console.log(JSON.stringify({ ojs: withOjs, made, client: withClient.value, query: await answer.json() }));
