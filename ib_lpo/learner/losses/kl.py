"""KL(pi || reference) from the sampled tokens: Schulman's estimators (Approximating KL Divergence, 2020), d = log pi - log reference.

k2 and k3 are added to the loss: their gradient is that of a penalty on the distance. k1 is not among them: its gradient is
grad log pi(o), whose expectation over o ~ pi is 0, so as a loss it would only add noise. It acts through the advantage instead, as a
reward of -coefficient * d on each token.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d [N], nats; unbiased, of either sign. Both arguments [N], nats."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d^2 / 2 [N], nats; never negative. Its expected gradient on pi's own samples is exactly that of the KL."""
    return (logprobs - reference).square() / 2


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """exp(-d) - 1 + d [N], nats; unbiased and never negative (the KL term of GRPO, arXiv 2402.03300, eq. 4)."""
    gap = reference - logprobs
    return torch.expm1(gap) - gap


KL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k2": k2, "k3": k3}


def k1_advantages(advantages: Tensor, old_logprobs: Tensor, reference: Tensor, coefficient: float) -> Tensor:
    """A_t - coefficient * (log pi_old(o_t) - log reference(o_t)) [N], no gradient; all [N], log-probs in nats."""
    return (advantages - coefficient * k1(old_logprobs, reference)).detach()
