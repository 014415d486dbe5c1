// Parses KQL with Microsoft's own language service. In: {"tables": {name: "(column: type, ...)"}, "queries": {name: text}}
// on standard input. Out: {name: ["CODE severity: message at <text>", ...]}, a query without a finding has an empty list.
const folder = `${__dirname}/../../node_modules/@kusto/language-service-next`;
require(`${folder}/bridge.min.js`); // leaves the globals Bridge and Kusto behind
require(`${folder}/Kusto.Language.Bridge.min.js`);

const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;
const { tables, queries } = JSON.parse(require("fs").readFileSync(0, "utf8"));

const symbols = Object.entries(tables).map(([name, schema]) => new Symbols.TableSymbol.$ctor7(name, schema, ""));
const workspace = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", symbols));

const findings = {};
for (const [name, text] of Object.entries(queries)) {
  const code = KustoCode.ParseAndAnalyze(text, workspace);
  findings[name] = [];
  for (let i = 0; i < code.GetDiagnostics().Count; i += 1) {
    const found = code.GetDiagnostics().getItem(i);
    const place = text.substring(found.Start, found.Start + found.Length);
    findings[name].push(`${found.Code} ${found.Severity}: ${found.Message} at ${place}`);
  }
}
console.log(JSON.stringify(findings));
