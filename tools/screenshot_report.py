"""A picture of a run's report, such as the README's.

    python tools/screenshot_report.py runs/gsm8k-i2b --step 12 --tree 3 --trajectory r0/b1 --out docs/figures/report.png

Without --step it takes the branch that shows the method best (`telling`). `--view overview`: curves.
"""

import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import setup_browser
import typer
from playwright.sync_api import sync_playwright

from ib_lpo.report.records import short_id
from ib_lpo.report.report import write_report
from ib_lpo.report.sampling import sample_trees
from ib_lpo.run_directory import RunDirectory
from ib_lpo.tree import RolloutTree, Trajectory, Verdict

DEADLINE_MS = 60_000
FITTING = range(60, 151)  # response tokens that a picture holds
VISIBLE_NATS = 1.0


def main(
    run: Annotated[Path, typer.Argument(help="a run directory")],
    out: Path = Path("docs/figures/report.png"),
    view: str = "trees",
    step: Annotated[int | None, typer.Option(help="step of the tree")] = None,
    tree: Annotated[int, typer.Option(help="index of the tree in its step")] = 0,
    trajectory: Annotated[str, typer.Option(help="such as r0/b1")] = "",
    trees: Annotated[int, typer.Option(help="most trees of the report")] = 400,
    width: int = 1440,
    height: int = 900,
    scroll: Annotated[int, typer.Option(help="pixels that the chosen tree, or the overview, is scrolled by")] = 0,
    dark: bool = False,
) -> None:
    """Write the report to a temporary folder, open it in Chromium and save what is seen."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report = write_report(run, Path(folder) / "report.html", most_trees=trees)
        browser = playwright.chromium.launch(executable_path=setup_browser.require(), args=list(setup_browser.FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
        page.set_default_timeout(DEADLINE_MS)
        place = telling(run, trees) if step is None else {"step": step, "tree": tree, "trajectory": trajectory}
        page.goto(f"{report.resolve().as_uri()}#{view}{'?' + urlencode(place, safe='/') if view == 'trees' else ''}")
        page.wait_for_selector("body[data-curves]")
        page.wait_for_selector({"overview": ".plot[data-drawn]", "trees": ".tokens, #tree > .empty"}.get(view, "body"))
        page.evaluate("([id, top]) => { document.getElementById(id).scrollTop = top; }", ["tree" if view == "trees" else view, scroll])
        page.wait_for_timeout(400)
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=out)
        browser.close()
    print(f"{out}: {width} x {height}")


def telling(run: Path, most: int = 400) -> dict[str, int | str]:
    """Step, tree and trajectory of the branch that shows the method best, of the report's trees; nothing when no branch is among them.

    What counts, in this order: siblings both kept and filtered out; a fork of visible entropy; a response that fits; a correct answer;
    a fork inside the text rather than at its ends; then the entropy at the fork.
    """
    directory = RunDirectory(run)
    found = (
        (merits(tree, branch), {"step": step, "tree": place, "trajectory": short_id(tree, branch.id)})
        for step, places in sample_trees(directory, most).chosen.items()
        for place, tree in zip(places, directory.trees(step, places), strict=True)
        for branch in tree.trajectories
        if branch.fork is not None
    )
    return max(found, key=lambda pair: pair[0], default=((), {}))[1]


def merits(tree: RolloutTree, branch: Trajectory) -> tuple[bool | float, ...]:
    """To be compared with those of other branches: higher is better."""
    siblings = tree.branches(next(t for t in tree.trajectories if t.id == branch.parent))
    inside = len(branch.prefix_ids) / max(1, len(branch.response_ids))
    return (
        branch.kept and not all(sibling.kept for sibling in siblings),
        branch.fork.entropy >= VISIBLE_NATS,
        len(branch.response_ids) in FITTING,
        branch.verdict is Verdict.CORRECT,
        0.1 <= inside <= 0.7,
        branch.fork.entropy,
    )


if __name__ == "__main__":
    typer.run(main)
