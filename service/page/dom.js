// Elements are made from text alone, never from markup: what a model says is only ever text.

export const byId = (id) => document.getElementById(id);

/** An element with properties and children; a child is a node or a text, null is left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Sets attributes, such as ARIA's, that are no properties. */
export function attributes(element, given) {
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
  return element;
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** A token whose text is only space, or that has none of its own, as something that can be seen. */
const visible = (text) => (text.trim() ? text : text.replaceAll(" ", "␣").replaceAll("\n", "⏎") || "(no text)");

/** Rows of a label, a bar and a figure. entries: [label, share of the longest bar from 0 to 1, figure]. */
export function bars(entries) {
  const list = make("dl", { className: "bars" });
  for (const [label, share, figure] of entries) {
    const bar = attributes(make("dd", { className: "bar" }), { "aria-hidden": "true" });
    bar.style.setProperty("--share", `${100 * Math.min(1, Math.max(0, share))}%`);
    list.append(make("dt", {}, visible(label)), bar, make("dd", {}, figure));
  }
  return list;
}

/** Names and values beside each other; a value that is null is left out. */
export function facts(entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined);
  return make("dl", { className: "facts" }, ...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

/** Shows why something failed, or with null that it did not. */
export function failure(id, error) {
  const place = byId(id);
  place.textContent = error === null ? "" : error.message;
  place.hidden = error === null;
}
