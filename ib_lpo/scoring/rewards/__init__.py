"""Built-in rewards, by the name used in `verifier.reward`, as `package.module:attribute`: only the grading processes import them."""

BUILT_IN: dict[str, str] = {"math": "ib_lpo.scoring.rewards.math:REWARD"}
