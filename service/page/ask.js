// The main job: a question, its hops, the bridge, the plain and the corrected answer side by side.

import { ask } from "./api.js";
import { bars, byId, failure, make, percent } from "./dom.js";
import { clearGrid, offerGrid, startGrid } from "./grid.js";

let asked = null; // the fields of the question on show
let running = new AbortController();
let profile = null;

/** onOpen takes the patch of an answer as a Patchscope's fields. */
export function startAsking(onOpen) {
  byId("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    answer();
  });
  startGrid(answerWith);
  byId("to-patchscope").addEventListener("click", () => onOpen(byId("to-patchscope").patchscope));
}

/** The profile's questions as examples, each asked at a click. */
export function showExamples(given) {
  profile = given;
  const examples = profile.examples.map((question) => {
    const button = make("button", { type: "button" }, question);
    button.addEventListener("click", () => {
      byId("question").value = question;
      byId("own-hops").open = false;
      answer();
    });
    return button;
  });
  byId("examples").replaceChildren(...examples);
}

async function answer() {
  const names = byId("own-hops").open ? ["question", "hop1", "hop2"] : ["question"];
  asked = Object.fromEntries(names.map((name) => [name, byId(name).value.trim()]).filter(([, text]) => text));
  byId("answer").hidden = true;
  clearGrid();
  const corrected = await run({ ...asked, with_direct: true });
  if (corrected === null) return;
  byId("answers").replaceChildren(
    card("The model alone", corrected.direct_answer, "its plain answer, nothing patched"),
    card(corrected.corrected ? "Corrected by hopfix" : "hopfix’s answer", corrected.answer, howSure(corrected), corrected.corrected),
  );
  byId("answer").hidden = false;
  showEvidence(corrected);
  if (profile !== null) offerGrid(asked, corrected, profile);
}

/** The same question with a pair of layers of the reader's choice, beside the two answers. */
async function answerWith(pair) {
  const patched = await run({ ...asked, ...pair, strategy: "patched" });
  if (patched === null) return;
  const title = `From layer ${pair.source_layer} to layer ${pair.target_layer}, ${pair.mapping}`;
  const shown = card(title, patched.answer, howSure(patched));
  shown.id = "pair";
  byId("pair")?.remove();
  byId("answers").append(shown);
  showEvidence(patched);
}

/** The service's answer; null if it failed, which is shown, or if something else was asked meanwhile. */
async function run(request) {
  running.abort();
  running = new AbortController();
  failure("ask-failure", null);
  byId("asking").textContent = "Asking …";
  try {
    const said = await ask("v1/answer", request, running.signal);
    byId("asking").textContent = "";
    return said;
  } catch (error) {
    if (error.name !== "AbortError") {
      byId("asking").textContent = "";
      failure("ask-failure", error);
    }
    return null;
  }
}

function card(title, said, remark, corrected = false) {
  const text = make("p", { className: "said" }, said || "(nothing)");
  return make(
    "section",
    { className: corrected ? "answer corrected" : "answer" },
    make("h2", {}, title),
    text,
    make("p", { className: "quiet" }, remark),
  );
}

function howSure(answer) {
  return answer.confidence === null ? "no confidence is given" : `confidence ${percent(answer.confidence)}`;
}

function showEvidence(answer) {
  byId("how").textContent = how(answer);
  byId("hops").replaceChildren(...hops(answer.hops));
  byId("bridge").replaceChildren(bridge(answer.bridge));
  const longest = Math.max(...Object.values(answer.timings_ms), 0.001);
  const times = Object.entries(answer.timings_ms).map(([stage, ms]) => [stage, ms / longest, `${ms.toFixed(1)} ms`]);
  byId("times").replaceChildren(bars(times));
  const { passes, prompt_tokens: read, completion_tokens: said } = answer.usage;
  byId("usage").textContent = `${passes} passes, ${read} tokens read, ${said} said; passes that need not wait for each other run at once`;
  offerPatchscope(answer);
}

function how({ corrected, hops, patch, fallback }) {
  if (corrected) {
    return (
      `The state that stands for the bridge was taken from layer ${patch.source_layer} of the first hop and written ` +
      `at layer ${patch.target_layer} of the next, through the mapping ${patch.mapping}.`
    );
  }
  if (fallback === null) return "No state was patched.";
  const advice = hops.length === 0 ? " You can give the hops yourself, above." : "";
  return `No state was patched: ${fallback.reason}.${advice}`;
}

function hops(all) {
  if (all.length === 0) return [make("li", {}, "No hops were found in the question, so there was nothing to patch.")];
  return all.map(({ prompt, text }, n) => {
    const [before, after] = prompt.split("{}");
    const line = make("li", {}, before);
    if (after !== undefined) line.append(make("mark", {}, all[n - 1]?.text ?? "{}"), after);
    line.append(" → ", n < all.length - 1 ? make("mark", {}, text) : make("strong", {}, text));
    return line;
  });
}

function bridge(read) {
  if (read === null) return make("p", {}, "None.");
  const chosen = make("p", {}, make("mark", {}, read.text), ` with probability ${percent(read.probability)}`);
  const remark = make("p", { className: "quiet" }, "Its first token, and what else it might have been:");
  const likely = read.alternatives.map(({ text, probability }) => [text, probability, percent(probability)]);
  return make("div", {}, chosen, likely.length ? remark : null, bars(likely));
}

/** Two hops as a Patchscope: one state of the first, where a corrected answer may have patched several. */
function offerPatchscope({ hops: [first, second, ...more], patch }) {
  const button = byId("to-patchscope");
  button.hidden = profile === null || patch === null || second === undefined || more.length > 0;
  if (button.hidden) return;
  button.patchscope = {
    source: { prompt: first.prompt, layer: patch.source_layer, position: -1 },
    target: { prompt: second.prompt.replace("{}", profile.placeholder), layer: patch.target_layer, position: profile.placeholder },
  };
}
