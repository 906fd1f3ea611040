"use strict";
/* The tokens of a response, coloured by entropy, with fork, gate and evidence marked. */

const LEVELS = [0.05, 0.1, 0.25, 0.5, 1, 2, 3]; // nats; a token's class is e0 below the first, e7 from the last on

const level = (nats) => LEVELS.filter((bound) => nats >= bound).length;

function tokenLegend(t, page) {
  const scale = ["0", ...LEVELS].map((bound, index) => el("i", { class: `e${index}` }, index === LEVELS.length ? `≥ ${bound}` : String(bound)));
  const sample = (css, text, gate) => {
    const shown = el("span", { class: `sample t ${css}` }, text);
    if (gate) shown.style.setProperty("--gate", gate);
    return shown;
  };
  return el("div", { class: "legend" },
    el("span", { class: "scale" }, "entropy from, nats", scale),
    t.prefix ? el("span", {}, sample("shared", "grey"), ` shared with ${t.parent}`) : null,
    t.fork ? el("span", {}, sample("fork", "token"), " fork") : null,
    t.latent_norm === null ? null : el("span", {}, sample("z", "under", "1"), sample("z", "line", "0.4"), " gate of z"),
    t.failures.length ? el("span", {}, sample("evidence", "overline"), " evidence") : null,
    el("span", {}, "dotted: a branch leaves"));
}

function drawTokens(t, tree, page, choose) {
  const leaving = leavingAt(t, tree);
  const box = el("div", { class: "tokens", role: "document", "aria-label": `Response of ${t.id}`, tabindex: "0" });
  t.response.forEach(({ owner, index }, position) => {
    for (const failure of t.failures.filter((failure) => failure.start === position)) {
      box.append(el("span", { class: "flag evidence", "aria-hidden": "true" }, `${words(failure.mode)} ▸`));
    }
    if (t.fork && position === t.fork.position) box.append(el("span", { class: "flag fork", "aria-hidden": "true" }, "fork"));
    box.append(token(t, owner, index, position, leaving, page));
  });
  box.addEventListener("pointerover", (event) => {
    const position = event.target.dataset?.i;
    if (position !== undefined) showTip(describeToken(t, Number(position), page, leaving), event);
  });
  box.addEventListener("pointerout", hideTip);
  box.addEventListener("click", (event) => {
    const ids = leaving.get(Number(event.target.dataset?.i));
    if (ids) choose(ids[0]);
  });
  return box;
}

function token(t, owner, index, position, leaving, page) {
  const text = owner.tokens[index];
  const shared = position < t.prefix;
  const isFork = Boolean(t.fork) && position === t.fork.position;
  const css = ["t"];
  if (shared) css.push("shared");
  if (!shared || isFork) css.push(`e${level((owner.entropies[index] ?? 0) / 1000)}`);
  if (isFork) css.push("fork");
  if (leaving.has(position)) css.push("leaves");
  if (owner.specials.has(index)) css.push("special");
  if (text === "") css.push("part");
  else if (text.includes("\n")) css.push("line");
  if (t.failures.some((failure) => failure.start <= position && position < failure.end)) css.push("evidence");
  const element = el("span", { class: css.join(" "), "data-i": position }, text);
  if (!shared && t.latent_norm !== null) {
    element.classList.add("z");
    element.style.setProperty("--gate", page.gates[0] ? Math.min(1, page.gates[index] / page.gates[0]) : 0);
  }
  return element;
}

/* By position of a token of `t`, the ids of branches that leave it there. */
function leavingAt(t, tree) {
  const found = new Map();
  for (const branch of tree.trajectories.filter((branch) => branch.parent === t.id)) {
    found.set(branch.fork.position, [...(found.get(branch.fork.position) ?? []), branch.id]);
  }
  return found;
}

function describeToken(t, position, page, leaving) {
  const { owner, index } = t.response[position];
  const nats = (value) => (value === null ? "not finite" : `${number(value / 1000, 3)} nats`);
  const lines = [
    `${owner.tokens[index] === "" ? "part of a character" : JSON.stringify(owner.tokens[index])}   token ${position}`,
    `entropy ${nats(owner.entropies[index])}, at temperature 1`,
    `log-prob ${nats(owner.logprobs[index])}, at temperature ${page.temperature}`,
  ];
  const segment = position < t.prefix ? undefined : t.segments.find(({ start, end }) => start <= index && index < end);
  if (segment) lines.push(`advantage ${signed(segment.advantage, 3)}`);
  if (position < t.prefix) lines.push(`shared, generated for ${owner.id}`);
  else if (t.latent_norm !== null) lines.push(`gate γ(${index}) = ${number(page.gates[index], 3)}`);
  if (t.fork && position === t.fork.position) lines.push(`fork from ${t.parent}`);
  if (leaving.has(position)) lines.push(`${leaving.get(position).join(", ")} leave here`);
  return lines.join("\n");
}
