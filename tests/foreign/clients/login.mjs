// @azure/msal-node gets a token as an application. Environment: LOGIN_URL, TENANT, CLIENT_ID, CLIENT_SECRET, NODE_EXTRA_CA_CERTS.
import { ConfidentialClientApplication } from "@azure/msal-node";

const { LOGIN_URL, TENANT, CLIENT_ID, CLIENT_SECRET } = process.env;
const app = new ConfidentialClientApplication({
  auth: {
    clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, authority: `${LOGIN_URL}/${TENANT}`,
    knownAuthorities: [new URL(LOGIN_URL).host],
  },
});
const scopes = ["https://api.businesscentral.dynamics.com/.default"];
const first = await app.acquireTokenByClientCredential({ scopes });
const again = await app.acquireTokenByClientCredential({ scopes });
console.log(JSON.stringify({ token: first.accessToken, type: first.tokenType, cached: again.fromCache }));
