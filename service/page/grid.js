// The answer at every pair of layers, as a heatmap that the arrow keys walk through.

import { askEach } from "./api.js";
import { attributes, byId, make, percent } from "./dom.js";

const MOST = 12; // layers a side: a deeper model's are sampled evenly, the first and the last among them

let question = null;
let corrected = null;
let layers = { source: [], target: [] };
let running = new AbortController();
let onChoose = () => {};

/** choose takes the pair and mapping of a cell: {source_layer, target_layer, mapping}. */
export function startGrid(choose) {
  onChoose = choose;
  byId("grid-fill").addEventListener("click", fill);
  byId("grid-mapping").addEventListener("change", draw);
  byId("grid-table").addEventListener("keydown", walk);
}

export function clearGrid() {
  running.abort();
  byId("grid").hidden = true;
  byId("grid-table").replaceChildren();
}

/** Shows the empty grid for a question that was answered: a cell, or all of them, are asked at a click. */
export function offerGrid(asked, answer, profile) {
  if (answer.hops.length < 2) return;
  [question, corrected] = [asked, answer];
  layers = { source: sample(1, profile.layers), target: sample(0, profile.layers - 1) };
  const select = byId("grid-mapping");
  const known = [...select.options].map((option) => option.value);
  select.value = [answer.patch?.mapping, profile.patched.mapping, "identity"].find((name) => known.includes(name));
  byId("grid").hidden = false;
  byId("grid-fill").textContent = `Ask at all ${layers.source.length * layers.target.length} pairs`;
  draw();
}

function sample(first, last) {
  const count = Math.min(MOST, last - first + 1);
  const step = count > 1 ? (last - first) / (count - 1) : 0;
  return Array.from({ length: count }, (_, n) => Math.round(first + n * step));
}

function draw() {
  running.abort();
  byId("grid-progress").textContent = "";
  const head = make("tr", {}, corner(), ...layers.target.map((layer) => attributes(make("th", {}, `${layer}`), { scope: "col" })));
  const rows = layers.source.map((layer) =>
    make("tr", {}, attributes(make("th", {}, `${layer}`), { scope: "row" }), ...layers.target.map((target) => cell(layer, target))),
  );
  byId("grid-table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  byId("grid-cell").textContent = "Point at a cell or choose it to see what it says.";
  const [first] = byId("grid-table").querySelectorAll("button");
  first.tabIndex = 0;
}

function corner() {
  return attributes(make("th", { className: "corner" }, "from ↓ to →"), { scope: "col" });
}

function cell(source, target) {
  const name = `From layer ${source} to layer ${target}`;
  const button = attributes(make("button", { type: "button", tabIndex: -1 }), { "aria-pressed": "false", "aria-label": name });
  button.pair = { source_layer: source, target_layer: target };
  for (const event of ["mouseenter", "focus"]) {
    button.addEventListener(event, () => {
      byId("grid-cell").textContent = button.getAttribute("aria-label");
    });
  }
  button.addEventListener("click", () => {
    for (const other of byId("grid-table").querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    hold(button);
    onChoose({ ...button.pair, mapping: byId("grid-mapping").value });
  });
  return make("td", {}, button);
}

async function fill() {
  draw();
  running = new AbortController();
  const cells = [...byId("grid-table").querySelectorAll("button")];
  const mapping = byId("grid-mapping").value;
  const list = cells.map(({ pair }) => ({ ...question, ...pair, mapping, strategy: "patched" }));
  const progress = byId("grid-progress");
  let done = 0;
  try {
    for await (const answer of askEach("v1/answer", list, running.signal)) {
      say(cells[done], answer);
      done += 1;
      progress.textContent = `${done} of ${cells.length} answers`;
    }
    if (done < cells.length) throw new Error(`The service ended after ${done} of ${cells.length} answers. Ask again.`);
    byId("asking").textContent = "Every pair is answered.";
  } catch (error) {
    if (error.name !== "AbortError") progress.textContent = error.message;
  }
}

function say(button, answer) {
  const pair = `From layer ${button.pair.source_layer} to layer ${button.pair.target_layer}`;
  if (answer.error) {
    attributes(button, { "aria-label": `${pair}: ${answer.error.message}` }).textContent = "–";
    return;
  }
  const sure = answer.confidence === null ? "" : `, confidence ${percent(answer.confidence)}`;
  const same = answer.answer === corrected.answer;
  const unpatched = answer.corrected ? "" : ", not patched";
  button.textContent = answer.answer;
  button.classList.toggle("same", same);
  button.style.setProperty("--share", answer.confidence ?? 0);
  attributes(button, { "aria-label": `${pair}: ${answer.answer}${sure}${same ? ", the corrected answer" : ""}${unpatched}` });
}

/** One cell can be reached by Tab, the others from it by the arrow keys. */
function walk(event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -layers.target.length, ArrowDown: layers.target.length };
  const step = steps[event.key];
  if (step === undefined) return;
  const cells = [...byId("grid-table").querySelectorAll("button")];
  const from = cells.indexOf(document.activeElement);
  const to = from + step;
  const staysInRow = Math.floor(to / layers.target.length) === Math.floor(from / layers.target.length);
  event.preventDefault();
  if (from < 0 || to < 0 || to >= cells.length || (Math.abs(step) === 1 && !staysInRow)) return;
  hold(cells[to]);
  cells[to].focus();
}

function hold(chosen) {
  for (const other of byId("grid-table").querySelectorAll("button")) other.tabIndex = other === chosen ? 0 : -1;
}
