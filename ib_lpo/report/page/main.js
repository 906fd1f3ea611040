"use strict";
/* Views, keys and the address: #trees?step=12&tree=3&trajectory=r0/b1 opens that trajectory. */

const VIEWS = ["overview", "trees", "manifest"];
let viewer = null;
let written = null; // the hash this page wrote last

function readAddress() {
  const [view, query] = location.hash.slice(1).split("?");
  return { view: VIEWS.includes(view) ? view : "overview", wanted: new URLSearchParams(query ?? "") };
}

function writeAddress(view, wanted = {}) {
  const query = new URLSearchParams(wanted).toString().replaceAll("%2F", "/");
  written = `#${view}${query ? `?${query}` : ""}`;
  history.replaceState(null, "", written);
}

function showView(view) {
  for (const name of VIEWS) {
    byId(name).hidden = name !== view;
    byId(`tab-${name}`).setAttribute("aria-selected", String(name === view));
  }
  if (view === "trees") viewer?.list.draw();
}

async function followAddress() {
  const { view, wanted } = readAddress();
  showView(view);
  if (view !== "trees") return;
  if (viewer.rows.length === 0) return viewer.say("This run has no trees on disk yet.");
  if (!wanted.has("step")) return viewer.n === undefined ? viewer.open(0) : undefined;
  const n = viewer.find(Number(wanted.get("step")), Number(wanted.get("tree")));
  if (n >= 0) return viewer.open(n, wanted.get("trajectory"));
  viewer.say(`Tree ${wanted.get("tree") ?? 0} of step ${wanted.get("step")} is not among the trees that this report holds.`);
}

function onKey(event) {
  if (event.target.matches("#search") && ["Escape", "Enter"].includes(event.key)) return event.target.blur();
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey || byId("trees").hidden) return;
  if (event.target.closest("#tree") && event.key.startsWith("Arrow")) return; // it scrolls
  const actions = {
    j: () => viewer.step(1), ArrowDown: () => viewer.step(1), k: () => viewer.step(-1), ArrowUp: () => viewer.step(-1),
    l: () => viewer.sibling(1), ArrowRight: () => viewer.sibling(1), h: () => viewer.sibling(-1), ArrowLeft: () => viewer.sibling(-1),
    "/": () => byId("search").focus(),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

async function start() {
  viewer = new Viewer(await unpack("index"), (wanted) => writeAddress("trees", wanted));
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => {
      const view = tab.dataset.view;
      const open = viewer.n !== undefined && view === "trees";
      const row = open ? viewer.rows[viewer.n] : null;
      writeAddress(view, open ? { step: row.step, tree: row.tree, trajectory: viewer.chosen } : {});
      followAddress();
    });
  }
  document.addEventListener("keydown", onKey);
  addEventListener("hashchange", () => location.hash !== written && followAddress());
  await followAddress();
  document.body.dataset.ready = "yes";
  new Curves(await unpack("curves"));
  document.body.dataset.curves = "yes";
}

start();
