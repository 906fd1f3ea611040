"use strict";
/* Training curves. plotly is unpacked with the first chart, and a chart is drawn when it comes into sight. */

const LIGHT = ["#0072b2", "#d55e00", "#cc79a7", "#009e73", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f"];
const DARK = ["#56b4e9", "#f08a4b", "#d490b8", "#28c8a0", "#e9c46a", "#8ea6ff", "#c9a66b", "#a0a8b2"];
const darkMode = matchMedia("(prefers-color-scheme: dark)");
let plotlyLoad = null;

function loadPlotly() {
  const nonce = document.querySelector("script[nonce]").nonce;
  plotlyLoad ??= unpackText("plotly").then((code) => {
    const script = el("script", { nonce });
    script.textContent = code;
    document.head.append(script);
  });
  return plotlyLoad;
}

class Curves {
  constructor({ metrics, groups }) {
    this.metrics = metrics;
    this.charts = new Map(); // element of the plot -> chart
    this.sight = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((entry) => entry.isIntersecting)) {
        this.sight.unobserve(entry.target);
        this.draw(entry.target);
      }
    }, { root: byId("overview"), rootMargin: "200px" });
    this.picked = this.group("Picked", []);
    this.picked.hidden = true;
    byId("curves").append(this.picked, ...groups.map((group) => this.group(group.title, group.charts)));
    this.fillPicker();
    darkMode.addEventListener("change", () => {
      for (const plot of this.charts.keys()) if (plot.dataset.drawn) this.draw(plot);
    });
  }

  group(title, charts) {
    return el("section", { class: "group" }, el("h2", {}, title), el("div", { class: "charts" }, charts.map((chart) => this.card(chart))));
  }

  card(chart) {
    const plot = el("div", { class: "plot" });
    const units = new Set(chart.names.map((name) => this.metrics[name].unit).filter((unit) => unit));
    const meanings = chart.names.filter((name) => this.metrics[name].meaning).map((name) => `${name}: ${this.metrics[name].meaning}`);
    const log = el("button", { type: "button", "aria-pressed": "false", title: "logarithmic axis", onclick: () => {
      chart.log = !chart.log;
      log.setAttribute("aria-pressed", String(chart.log));
      this.draw(plot);
    } }, "log");
    const close = chart.picked ? el("button", { type: "button", "aria-label": `remove ${chart.title}`, onclick: () => this.remove(plot) }, "×") : null;
    const card = el("article", { class: "chart", "data-title": chart.title, title: meanings.join("\n") },
      el("header", {}, el("h3", {}, chart.title), el("small", {}, [...units].join(", ")), el("span", { class: "tools" }, chart.stacked ? null : log, close)),
      chart.picked ? el("p", { class: "meaning" }, this.metrics[chart.names[0]].meaning) : null,
      plot);
    this.charts.set(plot, chart);
    this.sight.observe(plot);
    return card;
  }

  fillPicker() {
    const groups = new Map();
    for (const name of Object.keys(this.metrics)) {
      const family = name.includes("/") ? name.split("/")[0] : "other";
      if (!groups.has(family)) groups.set(family, el("optgroup", { label: family }));
      groups.get(family).append(el("option", { value: name }, name));
    }
    const picker = byId("picker");
    picker.append(...groups.values());
    picker.addEventListener("change", () => {
      if (picker.value) this.pick(picker.value);
      picker.value = "";
    });
  }

  pick(name) {
    const there = [...this.charts].find(([, chart]) => chart.picked && chart.title === name);
    if (there) return this.remove(there[0]);
    this.picked.hidden = false;
    this.picked.querySelector(".charts").prepend(this.card({ title: name, names: [name], picked: true }));
  }

  remove(plot) {
    this.charts.delete(plot);
    plot.closest(".chart").remove();
    this.picked.hidden = !this.picked.querySelector(".chart");
  }

  async draw(plot) {
    await loadPlotly();
    const chart = this.charts.get(plot);
    if (!chart) return;
    const colours = darkMode.matches ? DARK : LIGHT;
    const traces = chart.names.map((name, index) => trace(name, this.metrics[name], colours[index % colours.length], chart));
    await Plotly.react(plot, traces, plotLayout(chart), { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
    plot.dataset.drawn = "yes";
  }
}

function trace(name, metric, colour, chart) {
  const short = name.split("/").slice(1).join("/") || name;
  const shared = { x: metric.steps, y: metric.values, name: plotText(short), marker: { color: colour, size: 4 }, hovertemplate: "%{y:.4~g}" };
  if (chart.stacked) return { ...shared, type: "bar" };
  return { ...shared, type: "scatter", mode: metric.steps.length > 60 ? "lines" : "lines+markers", line: { color: colour, width: 1.8 } };
}

/* plotly reads a few tags in its texts: names show them as they are. */
const plotText = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function plotLayout(chart) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axes = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
  return {
    margin: { l: 48, r: 12, t: chart.names.length > 1 ? 26 : 10, b: 34 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", barmode: "stack", bargap: 0.1, hovermode: "x unified",
    font: { family: style.getPropertyValue("--sans"), size: 11.5, color: colour("--muted") },
    hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--text") } },
    xaxis: { ...axes, title: { text: "step", standoff: 4 }, rangemode: "tozero" },
    yaxis: { ...axes, type: chart.log ? "log" : "linear", exponentformat: "power" },
    showlegend: chart.names.length > 1, legend: { orientation: "h", traceorder: "normal", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
  };
}
