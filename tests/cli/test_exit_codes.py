"""What an exit code tells whoever may start the same command again."""

import pytest
import typer

from ib_lpo.cli.common import user_errors
from ib_lpo.errors import UserError
from ib_lpo.fleet.base import DataFailure, Overdue, WorkerDied


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("key=1: use 2"), 2),
        (DataFailure("question 7: too long; shorten it"), 2),
        (WorkerDied("engine-0.advance: the worker died", "engine-0"), 3),
        (Overdue("update: not done in time"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_codes(error, code, capsys):
    with pytest.raises(typer.Exit) as raised, user_errors():
        raise error
    assert raised.value.exit_code == code
    assert code == 130 or capsys.readouterr().err.strip() == str(error)


def test_no_message_shows_a_secret(monkeypatch, capsys):
    monkeypatch.setenv("SOME_TOKEN", "value-of-a-token")
    for kind in (UserError, Overdue):
        with pytest.raises(typer.Exit), user_errors():
            raise kind("key=value-of-a-token: use another")
        assert capsys.readouterr().err.strip() == "key=***: use another"


def test_a_bug_is_a_traceback():
    with pytest.raises(ZeroDivisionError), user_errors():
        raise ZeroDivisionError
