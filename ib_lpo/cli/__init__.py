"""The command line, `ib-lpo`: one file per group of commands.

What a user can mend is one line per problem on stderr and exit code 2, never a traceback. 3 is what machines did, which the same command
again may get past; Ctrl-C is 130, SIGTERM and SIGHUP are 143. Nothing here imports torch: the manifest is read and checked before anything
heavy is loaded.
"""

import os
import sys

import typer

from ib_lpo.cli import analyze, data, doctor, evaluate, export, report, study, train
from ib_lpo.cli.common import ResumingCommand

app = typer.Typer(
    help="Latent-branching rollouts, information-bottleneck filtering and GRPO on Ray, vLLM and DeepSpeed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(train.latent_app, name="latent")
app.command("train", cls=ResumingCommand)(train.train)
app.command("eval", cls=ResumingCommand)(evaluate.evaluate)
app.command("study")(study.study)
app.command("export")(export.export)
app.add_typer(analyze.app, name="analyze")
app.command("report")(report.report)
app.command("show")(report.show)
app.command("doctor")(doctor.doctor)
app.command("version")(doctor.version)


def main() -> None:
    """The entry point of `ib-lpo`. A log has no use for progress bars of Hugging Face's libraries."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app(prog_name="ib-lpo")
