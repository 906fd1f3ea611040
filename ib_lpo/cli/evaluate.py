"""`ib-lpo eval`: benchmarks."""

from ib_lpo.cli.common import DryRun, ManifestPath, Overrides, Resume, claim, read, user_errors


def evaluate(path: ManifestPath, overrides: Overrides = None, dry_run: DryRun = False, resume: Resume = None) -> None:
    """Sample the manifest's benchmarks with a model or a run's checkpoint: avg@k, pass@k, maj@k, tokens, diversity."""
    with user_errors():
        manifest = read(path, overrides, dry_run)
        claim(manifest.evaluation_dir, resume)
        from ib_lpo.evaluation.evaluate import evaluate as run

        run(manifest, resume=bool(resume))
