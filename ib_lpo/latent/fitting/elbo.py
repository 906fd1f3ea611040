"""The evidence lower bound of a conditional VAE and its annealing; pure.

    loss = mean over pairs of [ -log p(s|c, z) ] + beta * sum over dimensions of max(free_bits, mean over pairs of KL_d),   z ~ q(z|c, s)

with KL(q(z|c,s) || p(z|c)), in this direction (method.md section 1). Everything is in nats per pair.
"""

from torch import Tensor


def beta_at(step: int, *, steps: int, top: float, cycles: int, ramp: float) -> float:
    """beta of optimiser step `step` (1..steps): in each cycle it rises linearly from near 0 for the share `ramp`, then stays at `top`.

    The last step always has `top`; with as many cycles as steps, all have.
    """
    into = 1 - (-step * cycles) % steps / steps  # share of its cycle that ends with this step, in (0, 1]
    return top if into >= ramp else top * into / ramp


def divergence(kl: Tensor, *, beta: float, free_bits: float) -> Tensor:
    """The second term of the loss. kl [N, dim], nats."""
    return beta * kl.mean(0).clamp_min(free_bits).sum()


def active_units(gap: Tensor, kl: Tensor, *, free_bits: float, threshold: float = 0.01) -> int:
    """Dimensions whose posterior mean says something that the prior does not know, and pays for it: Var over pairs of `gap` above
    `threshold`, and a mean KL above twice `free_bits`.

    gap [N, dim], (mu_q - mu_p) / sigma_p, and kl [N, dim], nats, N >= 2. Under the prior N(0, I) the first is the definition of Burda et
    al. (arXiv 1509.00519); z has no scale of its own where sigma_p is learnt. Up to free_bits the divergence costs nothing, so that a q
    may vary there (by up to 2 * free_bits, which `threshold` lets pass) whether or not it is of use; what is measured on held-out pairs
    lies around the floor that training holds it at, hence the factor.
    """
    return int(((gap.var(0) > threshold) & (kl.mean(0) > 2 * free_bits)).sum())


def collapse(report: dict[str, float], *, min_active_units: int, min_use: float) -> str | None:
    """Why the latent is of no use, or None.

    `report` has active_units, and use_of_z with its standard error use_of_z_error, nats: the use must be above min_use by two standard
    errors, which half of the dead latents would not miss if it were compared alone. It also has nll, of a target under its own z, and
    nll_without, nats: maps that do so much harm that a z which has seen the target explains it worse than no z are of no use, however
    much other z would cost.
    """
    if report["active_units"] < min_active_units:
        return f"{report['active_units']:.0f} active dimensions, fewer than latent_fit.min_active_units={min_active_units}"
    if not report["use_of_z"] - 2 * report["use_of_z_error"] > min_use:
        return (
            f"a pair's own z explains its target by {report['use_of_z']:.3f} ± {report['use_of_z_error']:.3f} nats better than another "
            f"pair's z does, not by two standard errors more than latent_fit.min_use={min_use:g}"
        )
    if report["nll"] > report["nll_without"]:
        return (
            f"a target costs {report['nll']:.3f} nats under its own z and {report['nll_without']:.3f} without any: what z does to the "
            "policy harms more than it says"
        )
    return None
