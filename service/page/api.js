// The service's HTTP API. The key lives in this module alone: not in the address, a cookie or the browser's storage.

let key = "";
let onMissingKey = () => {};

export function useKey(given) {
  key = given;
}

export function whenKeyIsMissing(listener) {
  onMissingKey = listener;
}

/** GET, or POST if there is a body; the response's JSON. Throws an Error whose message says what to do. */
export async function ask(path, body = undefined, signal = undefined) {
  return (await send(path, body, "application/json", signal)).json();
}

/** POST of a list: each answer as soon as it and those before it are there. */
export async function* askEach(path, list, signal) {
  const response = await send(path, list, "application/x-ndjson", signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines.filter(Boolean)) yield JSON.parse(line);
  }
  if (rest) yield JSON.parse(rest);
}

async function send(path, body, accept, signal) {
  const headers = { Accept: accept };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const method = body === undefined ? "GET" : "POST";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) onMissingKey();
  throw new Error(await reason(response));
}

async function reason(response) {
  const wait = response.headers.get("Retry-After");
  const said = await response.json().then((body) => body.error.message).catch(() => `The answer has status ${response.status}, and says no more.`);
  return wait === null ? said : `${said} Try again in ${wait} s.`;
}
