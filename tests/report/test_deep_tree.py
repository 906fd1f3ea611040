"""A deep and wide tree in a real browser: branches of branches, forks without a pivot, more lanes than fit, a score that is no number."""

import re

import pytest
from playwright.sync_api import expect

from ib_lpo.run_directory import RunDirectory
from tests.report.deep_tree import BRANCHES, DEEP, DEEPER
from tests.report.made_run import DEEP_TREE

ADDRESS = "#trees?step={}&tree={}&trajectory=".format(*DEEP_TREE)
LANES = 1 + BRANCHES + 2


@pytest.fixture(scope="module")
def deeper(run):
    step, index = DEEP_TREE
    return RunDirectory(run).trees(step, [index])[0].trajectories[-1]


def test_a_branch_of_a_branch_shows_its_whole_response(visit, deeper):
    page = visit(ADDRESS + DEEPER)
    expect(page.locator(".chosen h2")).to_have_text(DEEPER)
    texts = page.locator(".tokens .t").all_text_contents()
    assert "".join(texts) == "one t" + "firs" + "sec" + "third level"  # what each level has before the next leaves it
    assert len(texts) == len(deeper.response_ids) and page.locator(".tokens .t.shared").count() == len(deeper.prefix_ids)
    page.locator(f".tokens .t[data-i='{deeper.fork.position - 1}']").hover()
    assert f"shared, generated for {DEEP}" in page.locator("#tip").inner_text()
    page.locator(f".tokens .t[data-i='{deeper.fork.position}']").hover()
    tip = page.locator("#tip").inner_text()
    assert f"fork from {DEEP}" in tip and "gate \N{GREEK SMALL LETTER GAMMA}(0) = 1.000" in tip and "shared" not in tip
    assert f"entropy {deeper.entropies[0]:.3f} nats" in tip
    expect(page.locator(".tree-head small")).to_contain_text("2 branches without a place to fork again, 1 fork short of the budget")


def test_the_drawing_keeps_its_place_and_the_chosen_lane_is_in_sight(visit):
    page = visit(ADDRESS + "r0/b9")
    assert page.locator(".branch").count() == LANES and page.locator(".lanes circle.fork").count() == LANES - 1
    top = page.evaluate("document.querySelector('.drawing').scrollTop = 60")
    page.locator(".branch[data-id='r0/b7']").click()
    expect(page.locator(".chosen h2")).to_have_text("r0/b7")
    assert page.evaluate("document.querySelector('.drawing').scrollTop") == top
    for _ in range(LANES):
        page.keyboard.press("l")
    expect(page.locator(".branch[aria-current=true]")).to_be_in_viewport(ratio=1)
    inside = "document.querySelector('.branch[aria-current=true]').getBoundingClientRect().bottom"
    assert page.evaluate(f"{inside} <= document.querySelector('.drawing').getBoundingClientRect().bottom")


def test_more_trajectories_than_dots_are_counted(visit):
    page = visit(ADDRESS + "r0")
    expect(page.locator(".item[aria-selected=true] .dots i")).to_have_count(12)
    expect(page.locator(".item[aria-selected=true] .dots")).to_have_text(f"+{LANES - 12}")


def test_a_score_that_is_no_number_is_a_dash(visit):
    page = visit(ADDRESS + "r0")
    expect(page.locator(".branch[data-id=r0] > span").nth(3)).to_have_text("\N{EN DASH}")
    expect(page.locator(".item[aria-selected=true] .score")).to_have_text(re.compile(r"S \d"))
