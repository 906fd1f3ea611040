"""The tree viewer in a real browser: what it shows is what is in the trees."""

import math
import re
import shutil

import pytest
from playwright.sync_api import expect

from ib_lpo.report.report import write_report
from ib_lpo.run_directory import RunDirectory
from ib_lpo.tree import Status, Verdict
from tests.report.made_run import NASTY, NEEDLE, STEPS, TAU, TREES, UNICODE, make_run

ALL = STEPS * TREES


@pytest.fixture(scope="module")
def trees(run):
    directory = RunDirectory(run)
    return {(step, index): tree for step in directory.steps for index, tree in enumerate(directory.trees(step))}


def found(page) -> int:
    page.wait_for_selector("#count[aria-busy=false]")
    return int(re.match(r"\d+", page.locator("#count").inner_text())[0])


def some(trees, passes) -> int:
    return sum(any(passes(t) for t in tree.trajectories) for tree in trees.values())


def decided(tree) -> list[bool]:
    """Of every fork: whether what goes on from it has one reward. But in the deep tree, all branches of a root leave at
    one place."""
    families = [[t, *tree.branches(t)] for t in tree.trajectories if tree.branches(t)]
    if len(families) > 1:  # each branch of the deep tree leaves at a token of its own
        families = [[t, branch] for t, *branches in families for branch in branches]
    rewards = [[t.reward for t in family if t.reward is not None] for family in families]
    return [len(set(of)) == 1 for of in rewards]


def test_only_rows_in_sight_are_in_the_document(visit):
    page = visit("#trees")
    expect(page.locator("#count")).to_have_text(f"{ALL} of {ALL} trees in this report")
    assert 5 < page.locator(".item").count() < 30
    page.evaluate("document.getElementById('list').scrollTop = 1e6")
    expect(page.locator(f".item[aria-posinset='{ALL}']")).to_be_visible()
    assert page.locator(".item").count() < 30 and page.locator(".item[aria-posinset='1']").count() == 0


def test_filters_reduce_the_list_as_the_trees_say(visit, trees):
    page = visit("#trees")
    verdicts = {key: {t.verdict for t in tree.trajectories} - {Verdict.UNVERIFIABLE} for key, tree in trees.items()}
    expected = {
        ("#reward", "right"): sum(v == {Verdict.CORRECT} for v in verdicts.values()),
        ("#reward", "wrong"): sum(v == {Verdict.WRONG} for v in verdicts.values()),
        ("#reward", "mixed"): sum(len(v) == 2 for v in verdicts.values()),
        ("#reward", "unverifiable"): some(trees, lambda t: t.verdict is Verdict.UNVERIFIABLE),
        ("#status", "truncated"): some(trees, lambda t: t.status is Status.TRUNCATED),
        ("#failure", "logical_drift"): some(trees, lambda t: t.failures),
        ("#failure", "repetitive_loop"): 0,
        ("#fate", "dropped"): some(trees, lambda t: not t.kept),
        ("#forks", "decided"): sum(True in decided(tree) for tree in trees.values()),
        ("#forks", "open"): sum(False in decided(tree) for tree in trees.values()),
    }
    assert 0 < expected["#forks", "decided"] < ALL > expected["#forks", "open"] > 0
    for (control, value), count in expected.items():
        page.select_option(control, value)
        assert found(page) == count, (control, value)
        page.click("#reset")
        assert found(page) == ALL
    page.select_option("#failure", "some")
    page.select_option("#fate", "dropped")
    page.fill("#from", "2")
    page.fill("#to", "4")
    within = {key: tree for key, tree in trees.items() if 2 <= key[0] <= 4}
    assert found(page) == some(within, lambda t: t.failures and not t.kept) < some(trees, lambda t: t.failures and not t.kept)
    page.locator(".item").first.click()
    expect(page.locator(".branch.matched .name")).to_have_text(["\u00a0\u00a0b2"])
    expect(page.locator(".chosen h2")).to_have_text("r0/b2")


def test_search_finds_questions_and_responses(visit):
    page = visit("#trees")
    page.fill("#search", "q-3-7")
    expect(page.locator("#count")).to_have_text(re.compile("^1 tree found"))
    page.fill("#search", NEEDLE.upper())
    expect(page.locator("#count")).to_have_text(f"1 tree found among {ALL} of {ALL} trees")
    expect(page.locator(".item .id")).to_have_text("q-2-2")
    page.fill("#search", "no such words")
    expect(page.locator("#count")).to_have_text(re.compile("^0 trees found"))


def test_an_opened_trajectory_shows_its_numbers(visit, trees):
    tree = trees[3, 5]
    branch = next(t for t in tree.trajectories if t.id.endswith("b1"))
    page = visit("#trees?step=3&tree=5&trajectory=r0/b1")
    expect(page.locator(".tree-head h2")).to_have_text("q-3-5")
    expect(page.locator(".question .gold b")).to_have_text("8")
    assert page.locator(".branch").count() == 5 and page.locator(".lanes circle.fork").count() == 3
    names, values = (page.locator(f".facts {tag}").all_inner_texts() for tag in ("dt", "dd"))
    facts = dict(zip(names, values, strict=True))

    def written(value, digits):
        return f"{value:.{digits}f}".replace("-", "\u2212")

    assert facts["S_IB"] == written(branch.ib.score, 2) and facts["rank"] == f"{branch.rank} of 3 siblings"
    assert facts["I(r;a)"] == "0.123 nats per answer token"
    assert facts["I(q;r)"] == "0.456 nats per reference token"
    assert facts["advantage"] == "+0.500" and facts["reward"] == written(branch.reward, 2)
    assert facts["fork"] == f"token {branch.fork.position} of r0" and facts["entropy there"] == written(branch.fork.entropy, 3) + " nats"
    assert facts["policy version"] == "7" and facts["cached prompt tokens"] == "16"
    assert page.get_by_text(f"seed {branch.seed}").count() == 1
    assert "in layers 4-5 (from 0) of 6" in page.locator(".facts").inner_text()
    why = page.locator(".why").inner_text()
    assert why.startswith("Kept" if branch.kept else "Filtered out") and f"rank {branch.rank} of 3" in why


def test_the_advantage_of_every_segment_is_shown(visit, trees):
    root = next(t for t in trees[3, 5].trajectories if t.id.endswith("r0"))
    page = visit("#trees?step=3&tree=5&trajectory=r0")
    facts = dict(zip(*(page.locator(f".facts {tag}").all_inner_texts() for tag in ("dt", "dd")), strict=True))
    assert facts["tokens 0 to 3"] == "+0.250" and facts[f"tokens 3 to {len(root.token_ids)}"] == "+0.750"
    for position, advantage in ((2, "+0.250"), (3, "+0.750")):
        page.locator(f'.tokens [data-i="{position}"]').hover()
        expect(page.locator("#tip")).to_contain_text(f"advantage {advantage}")


def test_decided_forks_are_marked(visit, trees):
    for index in (0, 2):
        branches = [t for t in trees[3, index].trajectories if t.parent]
        page = visit(f"#trees?step=3&tree={index}&trajectory=r0")
        expect(page.locator(".lanes circle.fork")).to_have_count(len(branches))
        marked = page.locator(".lanes circle.fork.decided")
        expect(marked).to_have_count(len(branches) if decided(trees[3, index]) == [True] else 0)
        titles = page.locator(".lanes circle.fork title").all_text_contents()
        assert all(("decided: all continuations have one reward" in title) == (marked.count() > 0) for title in titles)
    assert [decided(trees[3, index]) for index in (0, 2)] == [[True], [False]]


def test_tokens_carry_entropy_gate_fork_and_evidence(visit, trees):
    branch = next(t for t in trees[3, 5].trajectories if t.id.endswith("b2"))
    page = visit("#trees?step=3&tree=5&trajectory=r0/b2")
    tokens = page.locator(".tokens .t")
    shared = len(branch.prefix_ids)
    assert tokens.count() == len(branch.response_ids) and page.locator(".tokens .t.shared").count() == shared
    read = "(all) => all.map((t) => [Number(t.dataset.i), t.style.getPropertyValue('--gate'), t.className])"
    for position, gate, css in tokens.evaluate_all(read):
        own = position - shared
        assert (gate == "") == (own < 0)
        if own >= 0:
            assert float(gate) == pytest.approx(math.exp(-own / TAU), abs=1e-4)
            bounds = (0.05, 0.1, 0.25, 0.5, 1, 2, 3)
            assert f"e{sum(round(float(branch.entropies[own]), 3) >= bound for bound in bounds)}" in css.split()
        assert ("evidence" in css.split()) == (branch.failures[0].start <= position < branch.failures[0].end)
        assert ("fork" in css.split()) == (position == branch.fork.position)
    tokens.nth(shared + 3).hover()
    tip = page.locator("#tip").inner_text()
    assert f"token {shared + 3}" in tip and f"gate \N{GREEK SMALL LETTER GAMMA}(3) = {math.exp(-3 / TAU):.3f}" in tip
    assert f"entropy {branch.entropies[3]:.3f} nats, at temperature 1\n" in tip
    assert f"log-prob \u2212{-branch.logprobs[3]:.3f} nats, at temperature 0.9\n" in tip
    assert page.locator(".tokens .t.special").all_inner_texts() == ["<|end|>"]


def test_a_click_in_the_drawing_opens_and_the_address_keeps_it(visit, trees):
    page = visit("#trees?step=2&tree=4")
    page.locator(".branch[data-id=r1]").click()
    expect(page.locator(".chosen h2")).to_have_text("r1")
    assert page.url.endswith("#trees?step=2&tree=4&trajectory=r1")
    assert page.locator(".tokens .t.z").count() == 0
    page.locator(".branch[data-id='r0']").click()
    page.locator(".tokens .t.leaves").click()
    expect(page.locator(".chosen h2")).to_have_text("r0/b0")
    page.evaluate("location.hash = '#trees?step=6&tree=1&trajectory=r0/b2'")
    expect(page.locator(".tree-head h2")).to_have_text("q-6-1")
    expect(page.locator(".item[aria-selected=true] .id")).to_have_text("q-6-1")
    page.evaluate("location.hash = '#trees?step=99&tree=1'")
    expect(page.locator("#tree")).to_contain_text("Tree 1 of step 99 is not among")
    page.evaluate("location.hash = '#trees?step=1%'")
    expect(page.locator("#tree")).to_contain_text("Tree 0 of step 1% is not among")


def test_keys_move_through_trees_and_trajectories(visit):
    page = visit("#trees")
    expect(page.locator(".tree-head h2")).to_have_text("q-1-0")
    for key, expected in (("j", "q-1-1"), ("ArrowDown", "q-1-2"), ("k", "q-1-1"), ("ArrowUp", "q-1-0")):
        page.keyboard.press(key)
        expect(page.locator(".tree-head h2")).to_have_text(expected)
    page.keyboard.press("l")
    expect(page.locator(".chosen h2")).to_have_text("r0/b1")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("jj")
    expect(page.locator(".tree-head h2")).to_have_text("q-1-0")


def test_what_a_model_wrote_is_inert(visit, trees):
    page = visit("#trees?step=1&tree=0&trajectory=r0")
    assert "".join(page.locator(".tokens .t").all_text_contents()) == NASTY
    assert NASTY in page.locator(".question p").inner_text()
    assert page.evaluate("window.hurt") is None and page.locator("#tree img, #tree b b, #rows img").count() == 0


def test_characters_of_several_tokens_are_whole(visit):
    page = visit("#trees?step=1&tree=1&trajectory=r0")
    assert "".join(page.locator(".tokens .t").all_text_contents()) == UNICODE
    assert page.locator(".tokens .t.part").count() == 2 + 2 * 2 + 3


def test_a_sampled_report_says_so(visit, run, tmp_path):
    page = visit("#trees", path=write_report(run, tmp_path / "small.html", most_trees=7))
    expect(page.locator("#count")).to_have_text(f"7 of {ALL} trees in this report")
    assert page.locator(".item").count() == 7


def test_a_run_without_trees_says_so(visit, tmp_path):
    made = make_run(tmp_path)
    shutil.rmtree(made / "trees")
    page = visit("#trees", path=write_report(made))
    expect(page.locator("#tree")).to_have_text("This run has no trees on disk yet.")
    page.keyboard.press("l")


def test_the_frame_of_a_fork_is_never_torn(visit):
    page = visit("#trees?step=2&tree=4&trajectory=r0/b1")
    fork = page.locator(".tokens .t.fork:not(.line)")
    fork.evaluate("(token) => { token.textContent = ' word'.repeat(60); }")  # longer than a line
    assert fork.evaluate("(token) => token.getClientRects().length") == 1
