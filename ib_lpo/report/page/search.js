"use strict";
/* Search in questions, at once, and in responses, which are unpacked tree by tree the first time and kept as text. */

const haystacks = new Map();
const OVERLAP = 200; // characters of the shared prefix that a branch's text begins with, so that words across a fork are found

async function haystack(n) {
  if (!haystacks.has(n)) {
    const tree = assemble(await unpack(`tree-${n}`));
    const texts = tree.trajectories.map((t) => {
      const shared = t.response.slice(Math.max(0, t.prefix - OVERLAP), t.prefix);
      return shared.map(({ owner, index }) => owner.tokens[index]).join("").slice(-OVERLAP) + t.tokens.join("");
    });
    haystacks.set(n, texts.join("\n\0").toLowerCase());
  }
  return haystacks.get(n);
}

const inQuestion = (row, needle) => `${row.question}\n${row.text}\n${row.gold}`.toLowerCase().includes(needle);

/* Calls `found(numbers, done)` with the numbers of matching rows, now and then again as responses are read; stops when `stale()`. */
async function searchTrees(rows, candidates, text, found, stale) {
  const needle = text.toLowerCase();
  const hits = new Set(candidates.filter((n) => inQuestion(rows[n], needle)));
  let told = performance.now();
  const tell = (done) => found(candidates.filter((n) => hits.has(n)), done);
  for (const [index, n] of candidates.entries()) {
    if (!hits.has(n) && (await haystack(n)).includes(needle)) hits.add(n);
    if (stale()) return;
    if (performance.now() - told > 150) {
      tell(index / candidates.length);
      told = performance.now();
    }
  }
  tell(1);
}
