"""Settings of `ib-lpo data prepare`."""

from ib_lpo.section import Section


class PrepareConfig(Section):
    """Which questions become training data."""
