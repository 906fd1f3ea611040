"""`ib-lpo train` and, before it, `ib-lpo latent fit`."""

import typer

from ib_lpo.cli.common import DryRun, ManifestPath, Overrides, Resume, claim, read, user_errors

latent_app = typer.Typer(help="The latent z, trained before RL.", no_args_is_help=True)


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
