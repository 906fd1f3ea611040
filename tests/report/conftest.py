"""A browser shared by a module's tests, and a run with hand-built trees and its report. The tools' folder is on the path."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from tests.report.made_run import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The directory of a run with every kind of tree."""
    return make_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def report(run):
    from ib_lpo.report.report import write_report

    return write_report(run)


@pytest.fixture(scope="module")
def browser():
    """Chromium; a machine without one fails with what to install."""
    import setup_browser
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=setup_browser.require(), args=list(setup_browser.FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, report):
    """Opens the report at a hash; afterwards no error was logged, and nothing but the file was asked for."""
    contexts, troubles = [], []

    def open_(fragment="", *, scheme="light", path=report, width=1440):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        context.route(
            lambda url: not url.startswith(("file://", "blob:")), lambda route: (troubles.append(route.request.url), route.abort())
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: None if request.url.startswith("file://") else troubles.append(request.url))
        page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(path.resolve().as_uri() + fragment)
        page.wait_for_selector("body[data-curves]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []
