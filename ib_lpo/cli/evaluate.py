"""`ib-lpo eval`: benchmarks."""

from pathlib import Path

from ib_lpo.cli.common import DryRun, Fresh, ManifestPath, Overrides, Resume, claim, read, user_errors
from ib_lpo.errors import UserError


def evaluate(path: ManifestPath, overrides: Overrides = None, dry_run: DryRun = False, resume: Resume = None, fresh: Fresh = False) -> None:
    """Sample the manifest's benchmarks with a model or a run's checkpoint: avg@k, pass@k, maj@k, tokens, diversity."""
    with user_errors():
        manifest = read(path, overrides, dry_run)
        found = claim(manifest.evaluation_dir, resume, fresh)
        if isinstance(found, Path):
            raise UserError(f"--resume {found}: an evaluation has no checkpoints; give --resume alone, and set evaluation.checkpoint")
        from ib_lpo.evaluation.evaluate import evaluate as run

        run(manifest, resume=found)
