// What is deployed, and the evidence that it was chosen on.

import { attributes, bars, byId, facts, make, percent } from "./dom.js";

const ACCURACIES = { direct: "direct", two_step: "two_step", cross_validated: "deployed, cross-validated" };
const THRESHOLDS = {
  exit: "a bridge read early with less is read again in full",
  answer: "an answer read early with less is read again in full",
  sure: "a bridge with less is weighed against others",
  select: "below this confidence the plain answer is compared",
  bridges: "bridges that are weighed",
  bridge_tokens: "tokens of the longest bridge that is patched",
};

export function showProfile(profile) {
  const { evidence } = profile;
  const cards = [
    block("In use", identity(profile)),
    block("Accuracy on the calibration questions", accuracy(evidence)),
    block("Confidence", confidence(evidence.confidence)),
    block("When it changes its way", thresholds(profile.thresholds)),
  ];
  byId("profile-shown").replaceChildren(
    make("div", { className: "columns wide" }, ...cards.filter(Boolean)),
    byLayer(evidence.by_layer ?? {}),
    make("details", {}, make("summary", {}, "All of it, as JSON"), whole(profile)),
  );
}

function block(title, content) {
  return content && make("section", {}, make("h2", {}, title), content);
}

function identity(profile) {
  const unnamed = "none: this model was not calibrated (hopfix calibrate makes a profile)";
  return facts([
    ["profile", profile.name ?? unnamed],
    ["model", `${profile.model}, ${profile.layers} layers`],
    ["weights", profile.fingerprint],
    ["strategy", profile.strategy],
    ["patch", patch(profile.choice)],
    ["answer read at layer", profile.answer_layer],
    ["proven on", `${profile.replay} questions before it was taken into use`],
    ["since", profile.loaded],
  ]);
}

function thresholds(found) {
  return facts(Object.entries(found).map(([name, value]) => [THRESHOLDS[name] ?? name, value]));
}

function patch({ source_layer: source, target_layer: target, mapping }) {
  return `layer ${source} to layer ${target}, ${mapping}`;
}

function accuracy(evidence) {
  const known = Object.entries(ACCURACIES).filter(([name]) => typeof evidence[name] === "number");
  if (known.length === 0) return null;
  const counts = facts([
    ["questions", `${evidence.questions} about ${evidence.bridges} bridges`],
    ["fixed", `${evidence.fixed} that direct had wrong`],
    ["broken", `${evidence.broken} of ${evidence.direct_right} that direct had right`],
  ]);
  return make("div", {}, bars(known.map(([name, label]) => [label, evidence[name], percent(evidence[name])])), counts);
}

function confidence(found) {
  if (!found) return null;
  return facts([
    ["calibration error", found.ece?.toFixed(3)],
    ["AUROC", found.auroc?.toFixed(3)],
    [`coverage at ${percent(found.precision)} precision`, percent(found.coverage)],
  ]);
}

/** Accuracy by the layer that the bridge is read at, a row for each mapping. */
function byLayer(rows) {
  const names = Object.keys(rows);
  if (names.length === 0) return null;
  const layers = Object.keys(rows[names[0]]);
  const heading = (text, scope) => attributes(make("th", {}, text), { scope });
  const head = make("tr", {}, heading("mapping", "col"), ...layers.map((layer) => heading(`layer ${layer}`, "col")));
  const body = names.map((name) =>
    make("tr", {}, heading(name, "row"), ...layers.map((layer) => {
      const cell = make("td", {}, percent(rows[name][layer]));
      cell.style.setProperty("--share", rows[name][layer]);
      return cell;
    })),
  );
  const table = make("table", { className: "heat" }, make("thead", {}, head), make("tbody", {}, ...body));
  return make("section", {}, make("h2", {}, "Accuracy by the layer that the bridge is read at"), make("div", { className: "scroll" }, table));
}

function whole(profile) {
  return attributes(make("pre", {}, JSON.stringify(profile, null, 2)), { tabindex: "0" });
}
