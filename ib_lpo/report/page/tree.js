"use strict";
/* The drawing of a tree: one lane per trajectory over token positions; a branch leaves its parent at its fork. */

const LANE = 26;

function drawTree(tree, chosen, matched, choose) {
  const order = depthFirst(tree);
  const lanes = el("div", { class: "lanes" }, order.map((t) => lane(t, t === chosen, matched.has(t.id), choose)));
  const box = el("div", { class: "drawing", role: "group", "aria-label": "Roots and branches over token positions" },
    el("div", { class: "columns", "aria-hidden": "true" },
      ...["", `tokens, 0 to ${longest(tree)}`, "verdict", "S_IB", "rank", "adv.", "fate"].map((title) => el("span", {}, title))),
    lanes);
  new ResizeObserver(() => drawLines(lanes, tree, order, choose)).observe(lanes);
  return box;
}

function lane(t, isChosen, isMatched, choose) {
  const verdict = verdictOf(t);
  return el(
    "button",
    {
      class: `branch${t.kept ? "" : " dropped"}${isMatched ? " matched" : ""}`, type: "button", "data-id": t.id,
      "aria-current": String(isChosen), onclick: () => choose(t.id), "aria-label": laneLabel(t),
    },
    el("span", { class: "name" }, "\u00a0\u00a0".repeat(t.id.split("/").length - 1) + t.id.split("/").at(-1)),
    el("span", { class: "plotcell" }),
    el("span", { class: `verdict ${verdict.css}` }, `${verdict.mark} ${verdict.name}`),
    el("span", {}, t.ib ? number(t.ib.score) : "–"),
    el("span", {}, t.rank === null ? "–" : `${t.rank}/${t.compared}`),
    el("span", {}, t.advantage === null ? "–" : signed(t.advantage)),
    el("span", {}, t.kept ? "kept" : "out"));
}

function laneLabel(t) {
  const fork = t.fork ? `, leaves ${t.parent} at token ${t.fork.position}` : "";
  return `${t.id}${fork}, ${verdictOf(t).name}, ${t.kept ? "kept" : "filtered out"}, ${plural(t.own, "own token")}`;
}

const longest = (tree) => Math.max(1, ...tree.trajectories.map((t) => t.response.length));

function depthFirst(tree) {
  const under = (parent) =>
    tree.trajectories.filter((t) => t.parent === parent).sort((a, b) => a.prefix - b.prefix).flatMap((t) => [t, ...under(t.id)]);
  return under(null);
}

function drawLines(lanes, tree, order, choose) {
  const cell = lanes.querySelector(".plotcell");
  if (!cell?.clientWidth) return;
  const width = cell.clientWidth - 14;
  const x = (tokens) => 1 + (tokens / longest(tree)) * width;
  const y = new Map(order.map((t, index) => [t.id, index * LANE + LANE / 2]));
  const drawing = svg("svg", { width: width + 14, height: order.length * LANE, "aria-hidden": "true" });
  drawing.style.left = `${cell.offsetLeft}px`;
  for (const t of order) {
    const at = y.get(t.id);
    if (t.fork) {
      const [fx, fy] = [x(t.prefix), y.get(t.parent)];
      drawing.append(svg("path", { class: "stem", d: `M${fx},${fy} V${at - 5} Q${fx},${at} ${Math.min(fx + 5, x(t.response.length))},${at}` }));
    }
    const start = t.fork ? Math.min(x(t.prefix) + 5, x(t.response.length)) : x(0);
    const css = verdictOf(t).css;
    drawing.append(svg("path", { class: `${css}${t.kept ? "" : " dropped"}`, d: `M${start},${at} H${x(t.response.length)}` }));
    drawing.append(svg("text", { class: css, x: x(t.response.length) + 4, y: at }, t.status === "truncated" ? "…" : "■"));
  }
  for (const t of order.filter((t) => t.fork)) {
    const decided = t.fork.decided ? "\ndecided: all continuations have one reward" : "";
    const title = svg("title", {}, `${t.id} leaves ${t.parent} at token ${t.fork.position}, entropy ${number(t.fork.entropy)} nats${decided}`);
    drawing.append(svg("circle", { class: `fork${decided && " decided"}`, cx: x(t.prefix), cy: y.get(t.parent), r: 3.5, onclick: () => choose(t.id, true) }, title));
  }
  lanes.querySelector("svg")?.remove();
  lanes.append(drawing);
}
