"""`ib-lpo data`: training questions, before any training."""

import typer

from ib_lpo.cli.common import DryRun, ManifestPath, Overrides, read, user_errors

app = typer.Typer(help="Training data.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `data` a group although it has one command."""


@app.command("prepare")
def prepare(path: ManifestPath, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Load, filter and deduplicate questions into one parquet file with a data card, as the manifest's `prepare` section says."""
    with user_errors():
        manifest = read(path, overrides, dry_run)
        from ib_lpo.data.preparation.prepare import prepare as run

        run(manifest)
