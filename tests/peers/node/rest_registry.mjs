// A foreign REST client: node's fetch, by what the registry's OpenAPI document says of addresses, methods and headers.
//
// Arguments: address of the document, token. Output: one JSON object with what it saw.

const [documentUrl, token] = process.argv.slice(2);
const openapi = await (await fetch(documentUrl)).json();
const server = openapi.servers[0].url;

function operation(id) {
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, found] of Object.entries(methods)) {
      if (found.operationId === id) return { path, method, ...found };
    }
  }
  throw new Error(`no operation ${id}`);
}

async function call(id, { body, headers = {}, query = "", bearer = token } = {}) {
  const { path, method } = operation(id);
  const answer = await fetch(server + path + query, {
    method: method.toUpperCase(),
    headers: {
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, type: answer.headers.get("content-type"), body: text ? JSON.parse(text) : null };
}

const key = (name) => ({ "idempotency-key": `"${name}"` });
const items = [0, 1, 2].map((n) => ({
  key: `n${n}`,
  action: "publish",
  listing: { number: `+1617555030${n}`, title: "Zoë", loa: "l1", texts_per_day: 7 },
}));
const seen = { operations: Object.keys(openapi.paths) };
seen.submitted = await call("submit", { body: { items }, headers: key("a") });
seen.repeated = await call("submit", { body: { items }, headers: key("a") });
seen.reused = await call("submit", { body: { items: items.slice(1) }, headers: key("a") });
seen.unnamed = await call("submit", { body: { items } });
seen.lookup = await call("look_up", { body: { numbers: ["+16175550300", "+16175550399"] } });
seen.page = await call("list_numbers", { query: "?limit=2" });
seen.last = await call("list_numbers", { query: `?limit=2&after=${encodeURIComponent(seen.page.body.next)}` });
const withdrawals = [{ key: "w0", action: "withdraw", number: "+16175550300" }];
seen.withdrawn = await call("submit", { body: { items: withdrawals }, headers: key("b") });
seen.wrong = await call("look_up", { body: { numbers: ["+16175550300"] }, bearer: `${token}!` });
seen.nobody = await call("look_up", { body: { numbers: ["+16175550300"] }, bearer: "" });
seen.malformed = await call("look_up", { body: "{" });
seen.empty = await call("look_up", { body: { numbers: [] } });
seen.many = await call("look_up", { body: { numbers: Array(1001).fill("+16175550300") } });
console.log(JSON.stringify(seen));
