"use strict";
/* Which trees the list shows. A tree passes when one of its trajectories passes all that is asked of a trajectory. */

const FILTERS = ["from", "to", "reward", "status", "failure", "fate", "forks"];

function readFilters() {
  return Object.fromEntries(FILTERS.map((name) => [name, byId(name).value]));
}

function passesFilters(row, wanted) {
  if (wanted.from !== "" && row.step < Number(wanted.from)) return false;
  if (wanted.to !== "" && row.step > Number(wanted.to)) return false;
  if (wanted.reward !== "" && wanted.reward !== "unverifiable" && row.reward !== wanted.reward) return false;
  if (wanted.forks !== "" && row[`${wanted.forks}_forks`] === 0) return false;
  return row.trajectories.some((t) => trajectoryPasses(t, wanted));
}

function asksOfTrajectories(wanted) {
  return wanted.reward === "unverifiable" || wanted.status !== "" || wanted.failure !== "" || wanted.fate !== "";
}

function trajectoryPasses(t, wanted) {
  if (wanted.reward === "unverifiable" && t.verdict !== "unverifiable") return false;
  if (wanted.status !== "" && t.status !== wanted.status) return false;
  if (wanted.fate !== "" && t.kept !== (wanted.fate === "kept")) return false;
  return wanted.failure === "" || (wanted.failure === "some" ? t.failures.length > 0 : t.failures.includes(wanted.failure));
}
