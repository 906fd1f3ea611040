"""Settings of `ib-lpo eval`, and of evaluation during training."""

from ib_lpo.section import Section


class EvaluationConfig(Section):
    """Which benchmarks are sampled, and how."""
