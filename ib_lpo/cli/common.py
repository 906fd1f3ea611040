"""What the commands share: their arguments, how a manifest is read and a directory claimed, and how errors end."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, dump, load

ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="YAML manifest, such as configs/smoke.yaml.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, such as learner.lr=1e-5.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved manifest as YAML and stop.")]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--fresh",
        help="For a directory that exists: go on with what it holds, or set it aside and start over.",
        show_default=False,
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/smoke.")]
RunPaths = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories, such as runs/smoke.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where results go; beside the first run when absent.", show_default=False)]


def read(path: Path, overrides: list[str] | None, dry_run: bool = False) -> Manifest:
    """The manifest with its overrides; a dry run prints it and exits. Raises UserError."""
    manifest = load(path, overrides or ())
    if dry_run:
        typer.echo(dump(manifest), nl=False)
        raise typer.Exit
    return manifest


def claim(directory: Path, resume: bool | None) -> None:
    """Make sure that `directory` may be written by this run, without changing anything on disk.

    `resume=None` refuses a directory that is there. Raises UserError.
    """
    parent = directory.parent
    there = next(path for path in (parent, *parent.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"runs_dir={parent}: cannot be written ({error.strerror}); set runs_dir=<a folder of yours>") from None
    if resume is None and directory.exists():
        raise UserError(f"{directory}: is there already; go on with it with --resume, start over with --fresh, or choose another name=")


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn UserError into its message and exit code 2, and Ctrl-C into exit code 130."""
    try:
        yield
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; training, fits and evaluations go on with --resume", err=True)
        raise typer.Exit(130) from None
