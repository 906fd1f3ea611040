"use strict";
/* Numbers and names as the page writes them. */

const MINUS = "\u2212";

function number(value, digits = 2) {
  if (value === null || value === undefined) return "–";
  return value.toFixed(digits).replace("-", MINUS);
}

function signed(value, digits = 2) {
  return (value > 0 ? "+" : "") + number(value, digits);
}

function plural(count, noun, several = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : several}`;
}

const words = (name) => name.replaceAll("_", " ");

const VERDICTS = {
  correct: { css: "right", mark: "●", name: "correct" },
  wrong: { css: "wrong", mark: "✕", name: "wrong" },
  no_answer: { css: "no_answer", mark: "○", name: "no answer" },
  unverifiable: { css: "unverifiable", mark: "?", name: "unverifiable" },
};
const verdictOf = (t) => VERDICTS[t.verdict] ?? { css: "unverifiable", mark: "?", name: "not graded" };
