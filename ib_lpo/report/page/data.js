"use strict";
/* Chunks: everything that comes from the run, gzip in base64, unpacked when it is asked for. */

async function unpackText(name) {
  const packed = atob(document.getElementById(`chunk-${name}`).textContent);
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function unpack(name) {
  return JSON.parse(await unpackText(name));
}

/* The details of a tree, with its whole responses put together. The last few trees are kept. */
const openedTrees = new Map();

async function loadTree(n) {
  if (!openedTrees.has(n)) {
    openedTrees.set(n, unpack(`tree-${n}`).then(assemble));
    if (openedTrees.size > 8) openedTrees.delete(openedTrees.keys().next().value);
  }
  return openedTrees.get(n);
}

/* Adds to every trajectory `byId`, `prefix` (shared tokens) and `response`: for each token its owner and index among the owner's own. */
function assemble(tree) {
  tree.byId = new Map(tree.trajectories.map((t) => [t.id, t]));
  for (const t of tree.trajectories) {
    t.prefix = t.fork ? t.fork.prefix : 0;
    t.own = t.tokens.length;
    t.root = t.parent === null ? t.id : tree.byId.get(t.parent).root;
    const before = t.parent === null ? [] : tree.byId.get(t.parent).response.slice(0, t.prefix);
    t.response = before.concat(t.tokens.map((_, index) => ({ owner: t, index })));
    t.specials = new Set(t.special);
  }
  return tree;
}
