"""The head of the report, its curves and the manifest, in a real browser and without one."""

import shutil

import pytest
from playwright.sync_api import expect

from ib_lpo.errors import UserError
from ib_lpo.report.curves import curves
from ib_lpo.report.overview import alarms, numbers, settings
from ib_lpo.report.report import write_report
from ib_lpo.run_directory import RunDirectory
from tests.report.made_run import STEPS, make_run


def test_final_numbers_and_alarms_are_those_of_the_metrics(run):
    directory = RunDirectory(run)
    lines = directory.metrics()
    shown = {number.title: (number.value, number.before) for number in numbers(lines)}
    assert shown["Held-out accuracy"] == ("85.0%", "25.0%") and shown["Training reward"] == ("0.600", "0.100")
    assert shown["Forks"][0] == str(24 * STEPS) and shown["Time"][0] == "30 s" and "Response tokens" not in shown
    assert [(alarm.step, alarm.text[:24]) for alarm in alarms(lines, directory.manifest)] == [(3, "1 optimiser step skipped")]


def test_settings_that_differ_stand_beside_their_defaults(run):
    grouped = settings(RunDirectory(run).manifest)
    changed = {setting.key: (setting.value, setting.default) for keys in grouped.values() for setting in keys if setting.changed}
    assert changed["latent.psa.tau"] == ("8.0", "256.0") and changed["latent.psa.layers"] == ("2", "4")
    assert changed["data.template"][0] == '"Question: {q}\\n\\n<b>Answer</b>: "'
    assert "learner.lr" not in changed and "seed" in {setting.key for setting in grouped["run"]}


def test_every_metric_is_a_column_and_only_measured_ones_are_drawn(run):
    found = curves(RunDirectory(run).metrics())
    assert found["metrics"]["held_out/accuracy"]["steps"] == list(range(STEPS + 1))
    assert found["metrics"]["grade/reward"]["values"] == pytest.approx([0.1 * step for step in range(1, STEPS + 1)])
    drawn = [name for group in found["groups"] for chart in group["charts"] for name in chart["names"]]
    assert {"grade/reward", "seconds/grow"} <= set(drawn) <= set(found["metrics"]) and "odd/<b>name</b>" not in drawn


@pytest.mark.slow
def test_curves_are_drawn_and_any_metric_can_be_picked(visit):
    page = visit()
    expect(page.locator(".chart[data-title='Training reward'] .scatterlayer .trace")).to_have_count(1)
    expect(page.locator(".alarms li")).to_contain_text("step 3")
    page.select_option("#picker", "odd/<b>name</b>")
    picked = page.locator(".chart[data-title='odd/<b>name</b>']")
    expect(picked.locator(".scatterlayer .trace")).to_have_count(1)
    expect(picked.locator("h3")).to_have_text("odd/<b>name</b>")
    picked.get_by_label("remove").click()
    expect(picked).to_have_count(0)
    phases = page.locator(".chart[data-title='Seconds per phase']")
    phases.scroll_into_view_if_needed()
    expect(phases.locator(".barlayer .trace")).to_have_count(2)


@pytest.mark.slow
def test_dark_and_narrow(visit):
    colour = "getComputedStyle(document.body).backgroundColor"
    wide, narrow = visit("#trees"), visit("#trees", scheme="dark", width=900)
    narrow.wait_for_selector(".tokens")
    assert wide.evaluate(colour) != narrow.evaluate(colour)
    for view in ("overview", "trees", "manifest"):
        narrow.click(f"#tab-{view}")
        assert narrow.evaluate(f"document.getElementById('{view}').scrollWidth <= innerWidth")
    narrow.click("#tab-trees")
    assert narrow.evaluate("document.getElementById('tree').scrollWidth <= document.getElementById('tree').clientWidth")
    narrow.click("#tab-manifest")
    narrow.check("#changed")
    expect(narrow.locator("tr", has_text="latent.psa.tau")).to_contain_text("256.0")
    expect(narrow.locator("tr", has_text="learner.lr_schedule")).to_be_hidden()


def test_the_same_run_gives_the_same_file(run, report, tmp_path):
    assert write_report(run, tmp_path / "again.html").read_bytes() == report.read_bytes()


def test_what_is_missing_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no run directory"):
        write_report(tmp_path / "none")
    run = make_run(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        write_report(run, run / "metrics.jsonl" / "report.html")
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json"):
        write_report(run)
    assert not (run / "report.html").exists()
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(UserError, match="tokenizer"):
        write_report(run)
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no step yet"):
        write_report(run)
