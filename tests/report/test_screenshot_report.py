"""The tool that makes the README's picture."""

import shutil
import struct

import screenshot_report

from ib_lpo.run_directory import RunDirectory
from ib_lpo.tree import Verdict
from tests.report.made_run import make_run


def test_a_picture_of_the_asked_size_is_written(run, tmp_path):
    out = tmp_path / "figures" / "report.png"
    screenshot_report.main(run, out=out, step=2, tree=2, trajectory="r0/b1", trees=400, width=800, height=600)
    data = out.read_bytes()
    assert data[1:4] == b"PNG" and struct.unpack(">II", data[16:24]) == (800, 600) and len(data) > 20_000


def test_without_a_step_the_most_telling_branch_is_taken(run):
    place = screenshot_report.telling(run)
    tree = RunDirectory(run).trees(place["step"], [place["tree"]])[0]
    branch = next(t for t in tree.trajectories if t.id == f"{tree.question.id}/{place['trajectory']}")
    siblings = [t for t in tree.trajectories if t.parent == branch.parent]
    assert branch.kept and branch.verdict is Verdict.CORRECT and branch.fork.entropy >= 1.0 and len(branch.response_ids) in range(60, 151)
    assert not all(t.kept for t in siblings)


def test_a_run_without_trees_has_none(tmp_path):
    run = make_run(tmp_path)
    shutil.rmtree(run / "trees")
    assert screenshot_report.telling(run) == {}
