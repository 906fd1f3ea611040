"use strict";
/* The tree viewer: list and filters on the left, the chosen tree on the right, both in the address. */

class Viewer {
  constructor(page, changed) {
    this.page = page;
    this.rows = page.rows;
    this.changed = changed;
    this.asked = 0; // counts searches, so that an outrun one stops
    this.opening = 0;
    this.list = new TreeList(this.rows, (n) => this.open(n));
    const form = byId("filters");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.filter());
    form.addEventListener("reset", () => {
      this.busy(true); // the fields are empty only after the event
      requestAnimationFrame(() => this.filter());
    });
    this.bounds();
    this.list.show(this.rows.map((_, n) => n));
    this.tell(this.rows.length, 1);
  }

  bounds() {
    const steps = this.rows.map((row) => row.step);
    for (const name of ["from", "to"]) {
      byId(name).placeholder = steps.length ? String(name === "from" ? steps[0] : steps.at(-1)) : "";
    }
  }

  async filter() {
    const asked = ++this.asked;
    this.busy(true);
    const wanted = readFilters();
    const text = byId("search").value.trim();
    const passing = this.rows.map((_, n) => n).filter((n) => passesFilters(this.rows[n], wanted));
    if (text === "") return this.show(passing, 1);
    await new Promise((resume) => setTimeout(resume, 120));
    if (asked === this.asked) await searchTrees(this.rows, passing, text, (found, done) => this.show(found, done), () => asked !== this.asked);
  }

  show(numbers, done) {
    this.list.show(numbers);
    this.tell(numbers.length, done);
  }

  tell(found, done) {
    const { shown, total } = byId("count").dataset;
    const all = `${Number(shown).toLocaleString("en")} of ${plural(Number(total), "tree")}`;
    const searching = done < 1 ? `, ${Math.round(done * 100)} % searched` : "";
    byId("count").textContent = found === this.rows.length ? `${all} in this report` : `${plural(found, "tree")} found among ${all}${searching}`;
    this.busy(done < 1);
  }

  busy(is) {
    byId("count").setAttribute("aria-busy", String(is));
  }

  find(step, tree) {
    return this.rows.findIndex((row) => row.step === step && row.tree === tree);
  }

  /* Opens row n at a trajectory: the one asked for, else the first that the filters ask for, else the first branch. */
  async open(n, id = null) {
    const opening = ++this.opening;
    this.list.choose(n);
    const tree = await loadTree(n);
    if (opening !== this.opening) return;
    const wanted = readFilters();
    const passing = asksOfTrajectories(wanted) ? this.rows[n].trajectories.filter((t) => trajectoryPasses(t, wanted)).map((t) => t.id) : [];
    const first = passing[0] ?? tree.trajectories.find((t) => t.parent !== null)?.id ?? tree.trajectories[0]?.id;
    Object.assign(this, { n, tree, matched: new Set(passing) });
    this.choose(tree.byId.has(id) ? id : first);
  }

  /* Draws the chosen tree at trajectory `id`. */
  choose(id, toFork = false) {
    const row = this.rows[this.n];
    const chosen = this.tree.byId.get(id);
    const again = this.drawn === this.n;
    const top = again ? byId("tree").scrollTop : 0;
    const lanesTop = again ? document.querySelector(".drawing").scrollTop : 0;
    byId("tree").replaceChildren(...this.heading(row), ...this.trajectory(chosen));
    document.querySelector(".drawing").scrollTop = lanesTop;
    document.querySelector(".branch[aria-current=true]").scrollIntoView({ block: "nearest" });
    byId("tree").scrollTop = top;
    Object.assign(this, { chosen: id, drawn: this.n });
    this.changed({ step: row.step, tree: row.tree, trajectory: id });
    hideTip();
    if (toFork) this.goTo(chosen.fork.position);
  }

  heading(row) {
    return [
      el("div", { class: "tree-head" }, el("h2", {}, row.question), el("small", {}, [`step ${row.step}, tree ${row.tree}`, ...this.lacking()].join(", "))),
      el("div", { class: "question" }, el("p", {}, row.text), el("div", { class: "gold" }, el("small", {}, "gold answer "), el("b", {}, row.gold))),
    ];
  }

  /* What the tree could not grow, where that happened. */
  lacking() {
    const { unforked, unforked_branches: branches, missing_forks: forks, missing_pivots: pivots } = this.tree;
    return [
      [unforked, `${plural(unforked, "root")} without a place to fork`],
      [branches, `${plural(branches, "branch", "branches")} without a place to fork again`],
      [forks, `${plural(forks, "fork")} short of the budget`],
      [pivots, `${plural(pivots, "branch", "branches")} without a token to begin with`],
    ].filter(([count]) => count > 0).map(([, text]) => text);
  }

  /* One line in place of a tree. */
  say(text) {
    byId("tree").replaceChildren(el("p", { class: "empty" }, text));
  }

  trajectory(t) {
    const choose = (id, toFork) => this.choose(id, toFork);
    return [
      drawTree(this.tree, t, this.matched, choose),
      trajectoryHead(t, this.page),
      drawTracks(t, this.page.gates, (position, event, go) => (go ? this.goTo(position) : showTip(describeToken(t, position, this.page, leavingAt(t, this.tree)), event))),
      tokenLegend(t, this.page),
      drawTokens(t, this.tree, this.page, choose),
      trajectoryFacts(t, this.page),
    ];
  }

  goTo(position) {
    document.querySelector(".t.at")?.classList.remove("at");
    const token = document.querySelector(`.tokens .t[data-i="${position}"]`);
    token?.classList.add("at");
    token?.scrollIntoView({ block: "center" });
  }

  step(by) {
    const n = this.list.next(by);
    if (n !== undefined && n !== this.n) this.open(n);
  }

  sibling(by) {
    if (!this.tree) return;
    const order = depthFirst(this.tree).map((t) => t.id);
    const place = order.indexOf(this.chosen) + by;
    if (order[place]) this.choose(order[place]);
  }
}
