"""What the commands share: their arguments, how a manifest is read and a directory claimed, and how errors end."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import FleetError
from ib_lpo.manifest import Manifest, dump, load
from ib_lpo.redaction import redact
from ib_lpo.termination import EXIT_CODE, Terminated

ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="YAML manifest, such as configs/smoke.yaml.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, such as learner.lr=1e-5.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved manifest as YAML and stop.")]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="[auto|CHECKPOINT]",
        help="For a directory that exists: go on from its newest complete checkpoint, or from the start without any (`auto`, also when "
        "nothing follows), or from a certain checkpoint of it.",
        show_default=False,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="For a directory that exists: set it aside and start over.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/smoke.")]
RunPaths = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories, such as runs/smoke.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where results go; beside the first run when absent.", show_default=False)]
_AUTO = "auto"


def read(path: Path, overrides: list[str] | None, dry_run: bool = False) -> Manifest:
    """The manifest with its overrides; a dry run prints it and exits. Raises UserError."""
    manifest = load(path, overrides or ())
    if dry_run:
        typer.echo(dump(manifest), nl=False)
        raise typer.Exit
    return manifest


def claim(directory: Path, resume: str | None, fresh: bool) -> bool | Path:
    """What a run in `directory` goes on from: False: nothing; True: its newest checkpoint, if any; a path: that checkpoint. Changes nothing
    on disk. Raises UserError when `directory` cannot be written, or is there and neither option says what to do with it."""
    parent = directory.parent
    there = next(path for path in (parent, *parent.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"runs_dir={parent}: cannot be written ({error.strerror}); set runs_dir=<a folder of yours>") from None
    if resume is not None and fresh:
        raise UserError(f"--resume={resume} --fresh: one goes on with {directory}, the other starts over; give one of them")
    if resume is None and not fresh and directory.exists():
        raise UserError(f"{directory}: is there already; go on with it with --resume, start over with --fresh, or choose another name=")
    return resume is not None if resume in (None, _AUTO) else Path(resume).expanduser()


class ResumingCommand(TyperCommand):
    """A command whose `--resume` may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, resume_spelled_out(args))


def resume_spelled_out(args: Sequence[str]) -> list[str]:
    """Arguments in which every `--resume` has its value: `auto`, unless what follows it can be one. An option, an override (KEY=VALUE) and
    a manifest (.yaml) cannot; `--resume=VALUE` takes anything."""
    spelled = []
    for argument, following in zip_longest(args, args[1:]):
        alone = following is None or following.startswith("-") or "=" in following or following.endswith((".yaml", ".yml"))
        spelled.append(f"{argument}={_AUTO}" if argument == "--resume" and alone else argument)
    return spelled


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn UserError into its message and exit code 2, FleetError into its message and 3 (the same again may succeed), Ctrl-C into 130,
    SIGTERM and SIGHUP into 143.
    No message shows a secret."""
    try:
        yield
    except FleetError as error:
        typer.echo(redact(str(error)), err=True)
        raise typer.Exit(3) from None
    except UserError as error:
        typer.echo(redact(str(error)), err=True)
        raise typer.Exit(2) from None
    except Terminated as asked:
        typer.echo(redact(str(asked)), err=True)
        raise typer.Exit(EXIT_CODE) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; training, fits and evaluations go on with --resume, a study with the same command", err=True)
        raise typer.Exit(130) from None
