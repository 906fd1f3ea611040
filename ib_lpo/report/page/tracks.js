"use strict";
/* Three tracks over the positions of a response: entropy, the gate of z, and I(r;a) so far. */

const TRACK = 38;
const GAP = 12;
const LEFT = 80;

function drawTracks(t, gates, pick) {
  const box = el("div", { class: "tracks", role: "img", "aria-label": "Entropy, gate of z and I(r;a) along the response" });
  new ResizeObserver(() => {
    if (box.clientWidth > 0) box.replaceChildren(tracks(t, gates, pick, box.clientWidth - 24));
  }).observe(box);
  return box;
}

function tracks(t, gates, pick, full) {
  const count = Math.max(1, t.response.length);
  const width = full - LEFT - 40;
  const x = (position) => LEFT + (position / count) * width;
  const parts = [entropyTrack(t, width)];
  if (t.latent_norm !== null) parts.push(gateTrack(t, gates));
  if (t.ib && t.ib.at.length > 1) parts.push(profileTrack(t));
  const height = parts.length * (TRACK + GAP) + 14;
  const drawing = svg("svg", { viewBox: `0 0 ${full} ${height}`, height });
  for (const failure of t.failures) {
    drawing.append(svg("rect", { class: "evidence", x: x(failure.start), y: 0, width: x(failure.end) - x(failure.start), height: height - 16 }));
  }
  if (t.prefix) drawing.append(svg("rect", { class: "before", x: LEFT, y: 0, width: x(t.prefix) - LEFT, height: height - 16 }));
  parts.forEach((part, index) => drawing.append(part(x, index * (TRACK + GAP) + 4, full)));
  if (t.fork) drawing.append(svg("line", { class: "fork", x1: x(t.prefix), x2: x(t.prefix), y1: 0, y2: height - 16 }));
  drawing.append(svg("text", { x: LEFT, y: height - 1 }, "token 0"));
  drawing.append(svg("text", { x: x(count), y: height - 1, "text-anchor": "end" }, String(count)));
  follow(drawing, t, x, count, height, full, pick);
  return drawing;
}

function label(top, ...lines) {
  const first = top + TRACK / 2 + 4 - (lines.length - 1) * 6.5;
  return lines.map((line, index) => svg("text", { x: 0, y: first + index * 13 }, line));
}

/* A bar per token, or per group of tokens with its largest entropy where there are more tokens than pixels. */
function entropyTrack(t, width) {
  const values = t.response.map(({ owner, index }) => (owner.entropies[index] ?? 0) / 1000);
  const most = Math.max(0.1, ...values);
  const step = Math.max(1, Math.ceil(values.length / width));
  return (x, top, full) => {
    const group = svg("g", {}, label(top, "entropy", "nats"));
    let d = "";
    for (let i = 0; i < values.length; i += step) {
      const high = Math.max(...values.slice(i, i + step)) / most;
      const end = Math.min(i + step, values.length);
      d += `M${x(i)},${top + TRACK}V${top + TRACK * (1 - high)}H${Math.max(x(end) - 0.6, x(i) + 0.4)}V${top + TRACK}Z`;
    }
    group.append(svg("path", { class: "entropy", d }), axis(x, top, t), svg("text", { x: full - 34, y: top + 9 }, number(most)));
    return group;
  };
}

function gateTrack(t, gates) {
  const own = gates.slice(0, t.own);
  const most = Math.max(1e-9, ...gates.slice(0, 1));
  return (x, top, full) => {
    const d = own.map((g, i) => `L${x(t.prefix + i)},${top + TRACK * (1 - g / most)}H${x(t.prefix + i + 1)}`).join("");
    const group = svg("g", {}, label(top, "gate γ(t)", "of z"));
    if (own.length) group.append(svg("path", { class: "gate", d: `M${x(t.prefix)},${top + TRACK}${d}V${top + TRACK}Z` }));
    group.append(axis(x, top, t), svg("text", { x: full - 34, y: top + 9 }, number(most)));
    return group;
  };
}

function profileTrack(t) {
  const measured = t.ib.at.map((position, i) => [position, t.ib.profile[i]]).filter(([, value]) => value !== null);
  const profile = measured.map(([, value]) => value);
  const [low, high] = [Math.min(0, ...profile), Math.max(0, ...profile)];
  return (x, top, full) => {
    const y = (value) => top + TRACK * (1 - (value - low) / Math.max(1e-9, high - low));
    const points = measured.map(([position, value]) => [x(position), y(value)]);
    const group = svg("g", {}, label(top, "I(r;a)", "nats per", "answer token"), svg("line", { class: "axis", x1: x(0), x2: x(t.response.length), y1: y(0), y2: y(0) }));
    group.append(svg("path", { class: "profile", d: `M${points.map((point) => point.join()).join("L")}` }));
    points.forEach(([cx, cy], i) => group.append(
      svg("circle", { class: "dot", cx, cy, r: 2.6 }, svg("title", {}, `after ${measured[i][0]} tokens: I(r;a) ${number(profile[i], 3)} nats per answer token`))));
    group.append(svg("text", { x: full - 34, y: top + 9 }, number(high)), svg("text", { x: full - 34, y: top + TRACK }, number(low)));
    return group;
  };
}

const axis = (x, top, t) => svg("line", { class: "axis", x1: x(0), x2: x(t.response.length), y1: top + TRACK, y2: top + TRACK });

/* A line under the pointer; a click goes to the token there. */
function follow(drawing, t, x, count, height, full, pick) {
  const cursor = svg("line", { class: "cursor", y1: 0, y2: height - 16, visibility: "hidden" });
  const at = (event) => {
    const { left, width } = drawing.getBoundingClientRect();
    const inside = ((event.clientX - left) / width) * full;
    return Math.max(0, Math.min(count - 1, Math.floor(((inside - x(0)) / (x(count) - x(0))) * count)));
  };
  drawing.append(cursor);
  drawing.addEventListener("pointermove", (event) => {
    const middle = x(at(event) + 0.5);
    fill(cursor, { x1: middle, x2: middle, visibility: "visible" }, []);
    pick(at(event), event, false);
  });
  drawing.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    hideTip();
  });
  drawing.addEventListener("click", (event) => pick(at(event), event, true));
}
