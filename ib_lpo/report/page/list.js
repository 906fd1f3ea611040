"use strict";
/* The list of trees. Only the rows in sight, and a few around them, are in the document. */

const ROW_HEIGHT = 74;
const AROUND = 6;
const MOST_DOTS = 12;

class TreeList {
  constructor(rows, choose) {
    this.rows = rows;
    this.shown = rows.map((_, n) => n);
    this.chosen = null;
    this.box = byId("list");
    this.inner = byId("rows");
    this.box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    this.inner.addEventListener("click", (event) => {
      const item = event.target.closest(".item");
      if (item) choose(Number(item.dataset.n));
    });
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  show(numbers) {
    this.shown = numbers;
    this.inner.style.height = `${numbers.length * ROW_HEIGHT}px`;
    this.draw();
  }

  choose(n) {
    this.chosen = n;
    const place = this.shown.indexOf(n);
    const top = place * ROW_HEIGHT;
    if (place >= 0 && top < this.box.scrollTop) this.box.scrollTop = top;
    const bottom = top + ROW_HEIGHT - this.box.clientHeight;
    if (place >= 0 && bottom > this.box.scrollTop) this.box.scrollTop = bottom;
    this.draw();
  }

  /* The row `by` places further on, or the nearest end. */
  next(by) {
    const place = this.shown.indexOf(this.chosen);
    const wanted = place < 0 ? 0 : Math.max(0, Math.min(this.shown.length - 1, place + by));
    return this.shown[wanted];
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_HEIGHT) - AROUND);
    const last = Math.min(this.shown.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW_HEIGHT) + AROUND);
    const places = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
    this.inner.replaceChildren(...places.map((place) => this.item(place)));
    const visible = places.some((place) => this.shown[place] === this.chosen);
    if (visible) this.box.setAttribute("aria-activedescendant", `item-${this.chosen}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  item(place) {
    const n = this.shown[place];
    const row = this.rows[n];
    const dropped = row.trajectories.length - row.kept;
    const item = el(
      "div",
      {
        class: "item", role: "option", id: `item-${n}`, "data-n": n, "aria-selected": String(n === this.chosen),
        "aria-posinset": place + 1, "aria-setsize": this.shown.length,
      },
      el("div", { class: "first" },
        el("b", {}, `step ${row.step}`),
        el("span", { class: "id", title: row.question }, row.question),
        el("span", { class: "share" }, row.verifiable ? `${row.right}/${row.verifiable} right` : "unverifiable")),
      el("div", {}, row.text),
      el("div", { class: "third" },
        verdictDots(row),
        el("span", {}, `${plural(row.forks, "fork")} · ${row.kept} kept${dropped ? `, ${dropped} out` : ""}`),
        row.best === null ? null : el("span", { class: "score", title: "best S_IB" }, `S ${number(row.best)}`)));
    item.style.top = `${place * ROW_HEIGHT}px`;
    return item;
  }
}

/* One dot per trajectory: colour by verdict, hollow when it was filtered out; how many more there are than fit. */
function verdictDots(row) {
  const dots = row.trajectories.slice(0, MOST_DOTS).map((t) => el("i", { class: `${verdictOf(t).css}${t.kept ? "" : " dropped"}` }));
  const more = row.trajectories.length - dots.length;
  return el("span", { class: "dots", "aria-hidden": "true" }, dots, more > 0 ? `+${more}` : null);
}
