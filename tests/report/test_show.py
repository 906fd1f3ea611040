"""`ib-lpo show` in the terminal."""

import io
import re

import pytest
from rich.console import Console

from ib_lpo.errors import UserError
from ib_lpo.policy.load import load_tokenizer
from ib_lpo.report.show import render, show
from ib_lpo.report.token_text import TokenTexts
from ib_lpo.run_directory import RunDirectory
from tests.report.made_run import NEEDLE


def printed(run, step, index, width=80):
    directory = RunDirectory(run)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render(directory.trees(step)[index], directory, step, TokenTexts(load_tokenizer(directory.manifest.model))))
    return console.export_text()


def test_a_tree_with_its_numbers_fits_80_columns(run):
    text = printed(run, 2, 2)
    tree = RunDirectory(run).trees(2)[2]
    assert max(map(len, text.splitlines())) <= 80
    assert "q-2-2" in text and "gold answer 4" in text and NEEDLE in text and "logical drift, tokens" in text
    for t in tree.trajectories:
        line = next(line for line in text.splitlines() if f" {t.id.removeprefix('q-2-2/')}  " in line)
        assert f"S_IB {t.ib.score:+.2f}" in line and (t.rank is None or f"rank {t.rank}/3" in line)
    fork = tree.trajectories[2].fork
    assert f"fork at token {fork.position}, entropy {fork.entropy:.2f} nats" in text
    assert len(re.findall(r"filtered out \(below the best\)", text)) == 1


def test_the_first_question_is_shown_and_a_named_one_is_found(run, capsys):
    show(run, 3)
    assert "q-3-0" in capsys.readouterr().out
    show(run, 3, "q-3-9")
    assert "q-3-9" in capsys.readouterr().out


def test_a_missing_step_or_question_is_one_line_with_what_there_is(run):
    with pytest.raises(UserError, match="no trees of step 50; it has those of 6 steps from 1 to 6"):
        show(run, 50)
    with pytest.raises(UserError, match=r"no question 'q-3-1l'; it has 12, such as q-3-1"):
        show(run, 3, "q-3-1l")


def test_control_characters_do_not_reach_the_terminal(run):
    from ib_lpo.report.show import _one_line

    assert _one_line(["a\x1b[31m", "\nb\r"]) == "a\ufffd[31m\u21b5b\ufffd"
