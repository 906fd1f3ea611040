"""The record of a run: metrics.jsonl, rollouts.jsonl, and a copy of both in wandb (tracker.py, which a manifest does not import)."""

from ib_lpo.tracking.files import read_metrics, replace_text

__all__ = ["read_metrics", "replace_text"]
