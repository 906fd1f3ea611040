"""What a run can be gone on from, exported from, and copied elsewhere as: checkpoints on disk (docs/checkpoints.md)."""
