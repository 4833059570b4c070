// What the page is made of: its tabs, its key, and the service's state.

import { ask, useKey, whenKeyIsMissing } from "./api.js";
import { showExamples, startAsking } from "./ask.js";
import { attributes, byId, make } from "./dom.js";
import { fillPatchscope, showPatchscope, startPatchscope } from "./patchscope.js";
import { showProfile } from "./profile.js";

// The fixed mappings, as a request may name them: a test compares.
const MAPPINGS = ["identity", "norm_matched", "added", "vocabulary", "hard_token"];
const tabs = [...document.querySelectorAll("[role=tab]")];

function open(name, { focus = false } = {}) {
  for (const tab of tabs) {
    const chosen = tab.id === `tab-${name}`;
    attributes(tab, { "aria-selected": chosen, tabindex: chosen ? 0 : -1 });
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
    if (chosen && focus) tab.focus();
  }
  if (name === "patchscope") showPatchscope();
}

function startTabs() {
  for (const [n, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      const last = tabs.length - 1;
      const to = { ArrowRight: n === last ? 0 : n + 1, ArrowLeft: n === 0 ? last : n - 1, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      open(tabs[to].getAttribute("aria-controls"), { focus: true });
    });
  }
}

function startKey() {
  whenKeyIsMissing(() => {
    byId("key-form").hidden = false;
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value.trim());
    byId("key").value = "";
    byId("key-form").hidden = true;
    load();
  });
}

/** Asks the service how it is until it is ready and gives its profile, or asks for a key. */
async function load() {
  const status = byId("status");
  try {
    const ready = await ask("ready");
    const profile = await ask("v1/profile");
    status.textContent = `${ready.model} on ${ready.engine}${ready.trouble ? `: ${ready.trouble}` : ""}`;
    showProfile(profile);
    showExamples(profile);
  } catch (error) {
    status.textContent = error.message;
    if (byId("key-form").hidden) setTimeout(load, 2000);
  }
}

for (const id of ["grid-mapping", "scope-mapping"]) {
  byId(id).append(...MAPPINGS.map((name) => make("option", { value: name }, name)));
}
byId("scope-mapping").value = "vocabulary";
startTabs();
startKey();
startAsking((patchscope) => {
  fillPatchscope(patchscope);
  open("patchscope", { focus: true });
});
startPatchscope();
load();
