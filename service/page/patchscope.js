// Any Patchscope. The fields write the JSON, and the JSON is what is sent.

import { ask } from "./api.js";
import { attributes, bars, byId, failure, make, percent } from "./dom.js";

const SIDES = ["source", "target"];
const PAUSE = 300; // milliseconds after the last key before a prompt's tokens are asked for
const timers = {};
let running = new AbortController();

export function startPatchscope() {
  for (const side of SIDES) {
    byId(`${side}-prompt`).addEventListener("input", () => {
      clearTimeout(timers[side]);
      timers[side] = setTimeout(() => showTokens(side), PAUSE);
    });
    byId(`${side}-position`).addEventListener("input", () => markToken(side));
  }
  byId("scope-form").addEventListener("input", (event) => {
    if (event.target !== byId("scope-json")) write();
  });
  byId("scope-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  write();
}

/** Puts a source and a target into the fields. */
export function fillPatchscope({ source, target }) {
  for (const [side, point] of [["source", source], ["target", target]]) {
    byId(`${side}-prompt`).value = point.prompt;
    byId(`${side}-layer`).value = point.layer;
    byId(`${side}-position`).value = point.position;
  }
  write();
}

/** Brings the tokens up to date with the prompts, once the tab is looked at. */
export function showPatchscope() {
  SIDES.forEach(showTokens);
}

function write() {
  const [source, target] = SIDES.map((side) => ({
    prompt: byId(`${side}-prompt`).value,
    layer: span(byId(`${side}-layer`).value),
    position: span(byId(`${side}-position`).value),
  }));
  const scope = {
    source,
    target,
    mapping: byId("scope-mapping").value,
    max_tokens: Number(byId("scope-tokens").value),
    top: Number(byId("scope-top").value),
  };
  byId("scope-json").value = JSON.stringify(scope, null, 2);
}

/** "4" is a number, "4, 5" a span of two, "x" a text in the prompt. */
function span(text) {
  const parts = text.split(",").map((part) => part.trim());
  const values = parts.map((part) => (/^-?\d+$/.test(part) ? Number(part) : part));
  return values.length === 1 ? values[0] : values;
}

async function showTokens(side) {
  const text = byId(`${side}-prompt`).value;
  const place = byId(`${side}-tokens`);
  try {
    const { tokens } = text ? await ask("v1/tokenize", { text }) : { tokens: [] };
    if (text !== byId(`${side}-prompt`).value) return; // more was typed meanwhile
    place.replaceChildren(...tokens.map((token, index) => chip(side, token.text, index)));
    markToken(side);
  } catch (error) {
    place.replaceChildren(make("span", { className: "quiet" }, error.message));
  }
}

function chip(side, text, index) {
  const button = attributes(make("button", { type: "button" }, text), { "aria-label": `token ${index}: ${text.trim()}` });
  button.addEventListener("click", () => {
    byId(`${side}-position`).value = index;
    markToken(side);
    write();
  });
  return button;
}

function markToken(side) {
  const chips = [...byId(`${side}-tokens`).querySelectorAll("button")];
  const chosen = [span(byId(`${side}-position`).value)].flat();
  const texts = chips.map((button) => button.textContent.trim());
  const at = chosen.map((place) => (typeof place === "string" ? texts.lastIndexOf(place) : place < 0 ? place + chips.length : place));
  for (const [n, button] of chips.entries()) button.setAttribute("aria-pressed", at.includes(n));
}

async function run() {
  running.abort();
  running = new AbortController();
  byId("outcome").hidden = true;
  let scope;
  try {
    scope = JSON.parse(byId("scope-json").value);
  } catch (error) {
    failure("scope-failure", new Error(`What is under “As JSON” is no JSON: ${error.message}`));
    return;
  }
  try {
    show(await ask("v1/patchscope", scope, running.signal));
    failure("scope-failure", null);
  } catch (error) {
    if (error.name !== "AbortError") failure("scope-failure", error);
  }
}

function show({ text, tokens, logprobs, alternatives, notes }) {
  byId("outcome").hidden = false;
  byId("outcome-text").textContent = text || "(nothing)";
  byId("outcome-notes").replaceChildren(...notes.map((note) => make("p", { className: "failure" }, note)));
  byId("outcome-first").replaceChildren(
    bars(alternatives.map((each) => [each.text, each.probability, percent(each.probability)])),
  );
  byId("outcome-tokens").replaceChildren(
    bars(logprobs.map((logprob, n) => [`token ${tokens[n]}`, Math.exp(logprob), logprob.toFixed(3)])),
  );
}
