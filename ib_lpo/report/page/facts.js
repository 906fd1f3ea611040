"use strict";
/* What every stage found out about a trajectory, in words and numbers. */

function trajectoryHead(t, page) {
  const verdict = verdictOf(t);
  return el("div", { class: "chosen" },
    el("h2", {}, t.id),
    el("span", { class: `chip ${verdict.css}` }, `${verdict.mark} ${verdict.name}`),
    el("span", { class: "chip plain" }, t.kept ? "kept" : "filtered out"),
    el("span", { class: "chip plain" }, `${t.status}, ${plural(t.response.length, "token")}`),
    t.failures.map((failure) => el("span", { class: "chip failure" }, words(failure.mode))),
    el("span", { class: "why" }, fate(t, page)));
}

function trajectoryFacts(t, page) {
  return el("div", { class: "facts" }, rewardFacts(t), ibFacts(t, page), latentFacts(t, page), originFacts(t));
}

function facts(title, pairs, ...notes) {
  const items = pairs.filter((pair) => pair !== null).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("section", {}, el("h3", {}, title), el("dl", {}, items), notes.filter((note) => note !== null).map((note) => el("p", {}, note)));
}

function rewardFacts(t) {
  const failures = t.failures.map((failure) => `${words(failure.mode)}: tokens ${failure.start} to ${failure.end}, ${measure(failure)}.`);
  return facts("Reward and failures",
    [
      ["reward", number(t.reward)],
      ["advantage", t.advantage === null ? "–" : signed(t.advantage, 3)],
      ...t.segments.map(({ start, end, advantage }) => [`tokens ${t.prefix + start} to ${t.prefix + end}`, signed(advantage, 3)]),
      t.weight === 1 ? null : ["weight", number(t.weight)],
    ], ...failures);
}

function fate(t, page) {
  const among = page.scope === "root" ? "branches of its root" : "branches of the question";
  const reasons = {
    root: "Kept: roots are kept.",
    top: `Kept: rank ${t.rank} of ${t.compared} ${among}; ${page.filter}.`,
    pruned: t.rank === null
      ? "Filtered out: roots are not kept."
      : `Filtered out: rank ${t.rank} of ${t.compared} ${among}; ${page.filter}.`,
    unscored: "Kept: scoring is off.",
    unverifiable: "Filtered out: it could not be graded, so it has no reward.",
  };
  return reasons[t.label] ?? (t.kept ? "Kept." : "Filtered out.");
}

function measure(failure) {
  if (failure.measure === null) return "measure not finite";
  if (failure.mode === "repetitive_loop") return `its text compresses to ${Math.round(failure.measure * 100)} %`;
  const change = failure.mode === "logical_drift" ? "falls by" : "gains only";
  return `I(r;a) ${change} ${number(failure.measure)} nats per answer token`;
}

function ibFacts(t, page) {
  if (!t.ib) return facts("Information bottleneck", [], "Not scored.");
  const { relevance, compression, relevance_z: rz, compression_z: cz, score, estimator } = t.ib;
  const term = (value) => (value < 0 ? `(${number(value)})` : number(value));
  return facts("Information bottleneck",
    [
      ["I(r;a)", `${number(relevance, 3)} ${page.units.relevance}`],
      ["its z-score", number(rz)],
      ["I(q;r)", `${number(compression, 3)} ${page.units.compression}`],
      ["its z-score", number(cz)],
      ["S_IB", number(score)],
      ["rank", t.rank === null ? "not ranked" : `${t.rank} of ${t.compared} siblings`],
    ],
    `S_IB = ${page.beta} × ${term(rz)} ${MINUS} ${term(cz)}, of the z-scores of relevance I(r;a) and compression I(q;r) among the ${t.compared} compared; estimator ${estimator}.`);
}

function latentFacts(t, page) {
  const fork = t.fork
    ? [["fork", `token ${t.fork.position} of ${t.parent}`], ["entropy there", `${number(t.fork.entropy, 3)} nats`],
      ["drawn from", plural(t.fork.candidates, "candidate")], ["shared tokens", String(t.prefix)]]
    : [["root", "from token 0"]];
  if (t.latent_norm === null || !page.gate) return facts("Fork and latent", fork, "No z acts on it.");
  const last = page.gates[Math.max(0, t.own - 1)];
  return facts("Fork and latent", [...fork, ["|z|", number(t.latent_norm)], ["gate, first and last", `${number(page.gates[0])}, ${number(last, 3)}`]],
    `${page.gate.formula}, t tokens after the fork; ${page.gate.where}. z: ${page.gate.source}.`);
}

function originFacts(t) {
  return facts("Where it comes from", [
    ["engine", String(t.engine)], ["policy version", String(t.version)], ["own tokens", String(t.own)],
    ["cached prompt tokens", String(t.cached)],
  ], `seed ${t.seed}`);
}
