"""Built-in rewards, by the name used in `verifier.reward`, as `package.module:attribute`: only the grading processes import them."""

MATH_THINKING_TOO = "ib_lpo.scoring.rewards.math:THINKING"  # `math` with `verifier.thinking: graded`
BUILT_IN: dict[str, str] = {"math": "ib_lpo.scoring.rewards.math:REWARD"}
