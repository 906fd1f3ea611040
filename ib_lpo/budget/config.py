"""Settings of what a training run may spend."""

from pydantic import Field

from ib_lpo.section import Section


class BudgetConfig(Section):
    """Limits at which training ends before `steps`, so that runs of different methods can be compared at equal cost."""

    generated_tokens: int | None = Field(None, ge=1)
    """Tokens generated for training: the first step at which their sum (metric `grow/tokens_total`) reaches this is the
    last one; null: no limit. Held-out checks and evaluation do not count."""
