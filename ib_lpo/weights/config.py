"""Settings of weight publishing."""

from pydantic import Field

from ib_lpo.section import Section


class WeightsConfig(Section):
    """How the learner's weights reach the engines and the scorer."""

    bucket_mb: float = Field(16.0, gt=0.0)
    """Size of one bucket on the wire, MB; a larger tensor travels in a bucket of its own."""
    in_flight: int = Field(2, ge=1)
    """Buckets that may be unacknowledged at once per receiver."""
