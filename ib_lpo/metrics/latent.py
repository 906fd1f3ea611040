"""Metrics of `ib-lpo latent fit` (method.md section 1, the latent model): `fit/`: the step's pairs, `held_out/`: pairs never trained on."""

from ib_lpo.metrics.metric import Metric

_FIT, _TRAINER = "latent/fitting/fit.py", "latent/fitting/trainer.py"

LATENT = (
    Metric(name="fit/pairs", unit="count", meaning="(condition, target) pairs of the step", source=_FIT, total="sum"),
    Metric(
        name="fit/cut_targets",
        unit="count",
        meaning="of them, those whose target was cut to latent_fit.max_target_tokens",
        source=_FIT,
        total="sum",
    ),
    Metric(name="fit/nll", unit="nats", meaning="-log p(target | condition, z), z ~ q, mean over pairs", source=_TRAINER, best="min"),
    Metric(name="fit/kl", unit="nats", meaning="KL(q(z|c,s) || p(z|c)) over all dimensions, mean over pairs", source=_TRAINER),
    Metric(name="fit/elbo", unit="nats", meaning="-(nll + kl), whatever beta and free bits are", source=_TRAINER, best="max"),
    Metric(name="fit/beta", unit="1", meaning="weight of the KL in the step's loss, annealed in cycles", source=_TRAINER, total="last"),
    Metric(name="fit/grad_norm", unit="1", meaning="gradient norm before clipping", source=_TRAINER),
    Metric(name="held_out/nll", unit="nats", meaning="-log p(target | condition, z), z ~ q, mean over pairs", source=_TRAINER, best="min"),
    Metric(name="held_out/kl", unit="nats", meaning="KL(q(z|c,s) || p(z|c)) over all dimensions, mean over pairs", source=_TRAINER),
    Metric(name="held_out/elbo", unit="nats", meaning="-(nll + kl), mean over pairs", source=_TRAINER, best="max"),
    Metric(name="held_out/nll_without", unit="nats", meaning="-log p(target | condition) without z, mean over pairs", source=_TRAINER),
    Metric(name="held_out/nll_prior", unit="nats", meaning="-log p(target | condition, z), z ~ p(z|c), mean over pairs", source=_TRAINER),
    Metric(
        name="held_out/nll_other",
        unit="nats",
        meaning="-log p(target | condition, z) under another pair's z, carried over to this pair's prior, mean over pairs",
        source=_TRAINER,
    ),
    Metric(
        name="held_out/use_of_z",
        unit="nats",
        meaning="nll_other - nll: what a pair's own z explains better than another's, mean over pairs",
        source=_TRAINER,
        best="max",
    ),
    Metric(name="held_out/use_of_z_error", unit="nats", meaning="standard error of use_of_z", source=_TRAINER),
    Metric(
        name="held_out/active_units",
        unit="count",
        meaning="dimensions of z whose posterior mean varies over pairs and pays for it (latent/fitting/elbo.py)",
        source=_TRAINER,
        total="last",
        best="max",
    ),
    Metric(name="held_out/prior_sigma", unit="1", meaning="sigma of the prior, mean over pairs and dimensions", source=_TRAINER),
    Metric(name="held_out/tokens", unit="tokens", meaning="length of a target, mean over pairs", source=_TRAINER),
)
