"""A picture of a run's report, such as the README's.

    python tools/screenshot_report.py runs/gsm8k-i2b --step 12 --tree 3 --trajectory r0/b1 --out docs/figures/report.png

Without --step it takes the first tree of the report that has a filtered branch and both right and wrong answers. `--view overview`: curves.
"""

import re
import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import setup_browser
import typer
from playwright.sync_api import Page, sync_playwright

from ib_lpo.report.report import write_report

DEADLINE_MS = 60_000


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
        chosen = "" if step is None else "?" + urlencode({"step": step, "tree": tree, "trajectory": trajectory}, safe="/")
        page.goto(f"{report.resolve().as_uri()}#{view}{chosen if view == 'trees' else ''}")
        page.wait_for_selector("body[data-curves]")
        settle(page, view, step)
        page.evaluate("([id, top]) => { document.getElementById(id).scrollTop = top; }", ["tree" if view == "trees" else view, scroll])
        page.wait_for_timeout(400)
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=out)
        browser.close()
    print(f"{out}: {width} x {height}")


def settle(page: Page, view: str, step: int | None) -> None:
    """Wait until the view is drawn; without a step, choose a tree with something to see."""
    if view == "overview":
        page.wait_for_selector(".plot[data-drawn]")
    if view != "trees":
        return
    if step is None:
        page.select_option("#reward", "mixed")
        page.select_option("#fate", "dropped")
        page.wait_for_function("document.querySelector('#count').getAttribute('aria-busy') === 'false'")
        if page.locator(".item").count():
            page.locator(".item").first.click()
        page.locator("#reset").click()
        page.locator("#count", has_text=re.compile("in this report")).wait_for()
    page.wait_for_selector(".tokens")


if __name__ == "__main__":
    typer.run(main)
