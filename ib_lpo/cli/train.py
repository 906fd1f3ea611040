"""`ib-lpo train` and, before it, `ib-lpo latent fit`."""

import typer

from ib_lpo.cli.common import DryRun, Fresh, ManifestPath, Overrides, Resume, ResumingCommand, claim, read, user_errors

latent_app = typer.Typer(help="The latent z, trained before RL.", no_args_is_help=True)


def train(path: ManifestPath, overrides: Overrides = None, dry_run: DryRun = False, resume: Resume = None, fresh: Fresh = False) -> None:
    """Train a policy as the manifest says."""
    with user_errors():
        manifest = read(path, overrides, dry_run)
        found = claim(manifest.run_dir, resume, fresh)
        from ib_lpo.train import train as run

        run(manifest, resume=found)


@latent_app.command("fit", cls=ResumingCommand)
def latent_fit(
    path: ManifestPath, overrides: Overrides = None, dry_run: DryRun = False, resume: Resume = None, fresh: Fresh = False
) -> None:
    """Train the latent: prior p(z|c) and the maps of z, on questions with worked solutions."""
    with user_errors():
        manifest = read(path, overrides, dry_run)
        found = claim(manifest.latent_dir, resume, fresh)
        from ib_lpo.latent.fitting.fit import fit

        fit(manifest, resume=found)
