"""A run of the tiny policy by the command line on Ray, undisturbed or struck, and what is wrong with it afterwards.

2 engines, 2 ranks, 2 scorers, a checkpoint every 2 steps.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ib_lpo.manifest import Manifest, load
from kills.campaign import Campaign, Kill
from kills.checks import differences, unsound
from kills.life import Life
from kills.processes import abandoned
from tests.system.runs import MANIFEST
from tests.system.tiny_policy import save_task

_IMPATIENT = {"suspect_after_s": 6.0, "dead_after_s": 15.0}  # where an engine is made to hang; others may be slow without harm
_HASTY = {"deadline_s": 4.0}  # weights there, which must come before a suspicion
_LONGEST_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was killed, and what is wrong, one line per finding."""

    manifest: Manifest
    kills: list[Kill]
    wrong: list[str]


def prepare(folder: Path) -> None:
    """Make a policy and questions, unless they are there."""
    if not (folder / "held_out.jsonl").exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_task(folder)


def undisturbed(folder: Path, steps: int) -> Manifest:
    """A synchronous run that nothing of is killed. Raises RuntimeError when it fails all the same."""
    path = _write(folder, "undisturbed", steps, 0, False)
    if Life(folder, path, "--fresh", echo=_show("undisturbed")).finish(_LONGEST_S):
        raise RuntimeError("the run that nothing was killed of failed; its output is above")
    return found(folder, path)


def struck(
    folder: Path,
    name: str,
    plan: Sequence[tuple[str, str]],
    *,
    steps: int,
    seed: int,
    max_staleness: int = 0,
    reference: Manifest | None = None,
) -> Trial:
    """A run with the kills of `plan` (kind, moment). With a `reference`, it is to be the same bit for bit until an engine or a grader was
    killed."""
    impatient = any(kind == "hang" for kind, _ in plan)
    path, before = _write(folder, name, steps, max_staleness, impatient), {entry.path for entry in os.scandir("/dev/shm")}
    manifest = found(folder, path)
    ordeal = Campaign(folder, path, manifest.run_dir, plan, seed=seed, echo=_show(name)).run(_LONGEST_S)
    wrong = [f"left over: {what}" for what in (*ordeal.survivors, *abandoned(before))] + ordeal.unmended
    if len(ordeal.kills) < len(plan):
        wrong.append(f"the run ended after {len(ordeal.kills)} of {len(plan)} kills")
    if ordeal.codes != [-9] * sum(kill.kind == "driver" for kill in ordeal.kills) + [0]:
        wrong.append(f"exit codes {ordeal.codes}")
    else:
        wrong += unsound(manifest)
    if not wrong and reference is not None:
        same = min([reference.steps, steps, *(kill.step for kill in ordeal.kills if kill.kind in ("engine", "hang", "grader"))])
        wrong += differences(manifest, reference, same)
    _show(name)(f"-- {len(ordeal.kills)} kills, {ordeal.seconds:.0f} s, {len(wrong)} problems: {wrong[:5]}")
    return Trial(manifest=manifest, kills=ordeal.kills, wrong=[f"{name}: {problem}" for problem in wrong])


def _write(folder: Path, name: str, steps: int, max_staleness: int, impatient: bool) -> Path:
    cluster = MANIFEST["cluster"] | {"most_restarts": 100} | (_IMPATIENT if impatient else {})
    values = {"name": name, "steps": steps, "max_staleness": max_staleness, "cluster": cluster}
    if impatient:
        values["weights"] = _HASTY
    if max_staleness > 0:  # weights then arrive in the middle of responses
        values["learner"] = MANIFEST["learner"] | {"loss": {"engine_is": True}}
        values["rollout"] = MANIFEST["rollout"] | {"max_iterations_per_call": 6}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(MANIFEST | values))
    return path


def found(folder: Path, path: Path) -> Manifest:
    """A manifest of a run in `folder`, with paths that hold from everywhere."""
    data = [f"data.{part}.path={folder / part}.jsonl" for part in ("train", "held_out")]
    return load(path, [f"runs_dir={folder / 'runs'}", f"model.path={folder / 'model'}", *data])


def _show(name: str) -> Callable[[str], None]:
    """Prints a line on stderr with the seconds since now and the run's name."""
    began = time.monotonic()
    return lambda text: print(f"{time.monotonic() - began:7.1f} {name}: {text}", file=sys.stderr, flush=True)
