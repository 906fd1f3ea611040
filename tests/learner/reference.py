"""The whole update in plain single-process PyTorch, one sequence at a time, on whole logits. No part of the learner is used."""

from types import SimpleNamespace

import torch
from transformers import AutoModelForCausalLM

from tests.policy.reference import reference_logits

LAYERS = (1,)  # the last of two: latent.psa.layers=1


def policy_of(manifest):
    return AutoModelForCausalLM.from_pretrained(manifest.model.path, dtype=torch.float32)


def namespace(psa_weights):
    return SimpleNamespace(kv=psa_weights["maps.kv"], norm=psa_weights["maps.norm"])


def token_statistics(policy, ids, start, temperature, *, maps=None, psa=None, z=None):
    """Log-probs and entropies of ids[start:]; with z, under PSA from the last prefix token on."""
    ids = torch.as_tensor(ids, dtype=torch.int64)
    if z is None:
        logits = policy(ids[None]).logits[0]
    else:
        logits = reference_logits.__wrapped__(policy, ids, maps, LAYERS, psa, torch.tensor(z), start - 1)
    logits, targets = logits[start - 1 : -1], ids[start:]
    logprobs = torch.log_softmax(logits / temperature, -1)[torch.arange(len(targets)), targets]
    probabilities = torch.softmax(logits, -1)
    return logprobs, -(probabilities * probabilities.log()).sum(-1)


def samples(trees):
    for tree in trees:
        for t in tree.trajectories:
            if t.kept:
                ids = [*tree.question.prompt_ids, *t.prefix_ids.tolist(), *t.token_ids.tolist()]
                yield ids, len(ids) - len(t.token_ids), t


def train(manifest, steps, psa_weights=None):
    """Weights after the updates {name: tensor}, and of each update the mean loss and gradient norm over its optimiser steps.

    With `psa_weights` the log-probs are conditioned on z and W_kv, W_n are trained too.
    """
    config, loss_config, temperature = manifest.learner, manifest.learner.loss, manifest.rollout.temperature
    policy, frozen = policy_of(manifest), policy_of(manifest).requires_grad_(False)
    groups = [{"params": list(policy.parameters()), "rate": config.lr}]
    conditioning = {}
    if psa_weights is not None:
        trained = {name: tensor.clone().requires_grad_() for name, tensor in psa_weights.items()}
        groups.append({"params": list(trained.values()), "rate": config.psa_lr})
        conditioning = {"maps": namespace(trained), "psa": manifest.latent.psa}
    optimizer = torch.optim.AdamW(groups, betas=config.betas, weight_decay=config.weight_decay)
    everything = [p for group in groups for p in group["params"]]
    history = []
    for number, trees in enumerate(steps, start=1):
        data = [list(samples([tree])) for tree in trees]

        def run(ids, start, t):
            z = t.latent if conditioning else None
            return token_statistics(policy, ids, start, temperature, z=z, **conditioning)

        with torch.no_grad():
            old = [[run(*sample)[0] for sample in question] for question in data]
            far = [[token_statistics(frozen, ids, start, temperature)[0] for ids, start, _ in question] for question in data]
        losses, norms = [], []
        for part in [range(first, len(trees), config.mini_batches) for first in range(config.mini_batches)] * config.epochs:
            rows = [row for q in part for row in zip(data[q], old[q], far[q], strict=True)]
            count = sum(len(before) for _, before, _ in rows)
            total = torch.zeros(())
            for sample, before, reference in rows:
                t = sample[2]
                logprobs, entropy = run(*sample)
                of_sequence = torch.zeros(())
                for n in range(len(before)):
                    ratio = torch.exp(logprobs[n] - before[n])
                    bounded = torch.clamp(ratio, 1 - loss_config.clip_low, 1 + loss_config.clip_high)
                    weight = min(loss_config.is_cap, float(torch.exp(before[n] - t.logprobs[n])))
                    distance = logprobs[n] - reference[n]
                    of_sequence = of_sequence - weight * torch.minimum(ratio * t.advantage, bounded * t.advantage)
                    of_sequence = of_sequence + config.kl.coefficient * (torch.exp(-distance) - 1 + distance)
                    total = total - manifest.ib.self_reward_weight * t.advantage * entropy[n] / count
                share = {"token_mean": count, "sequence_mean": len(before) * len(rows)}[loss_config.normaliser]
                total = total + of_sequence / share
            optimizer.zero_grad()
            total.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(everything, config.grad_clip)))
            losses.append(float(total.detach()))
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * min(1.0, number / max(1, config.warmup_steps))
            optimizer.step()
        history.append({"loss": sum(losses) / len(losses), "grad_norm": sum(norms) / len(norms)})
    found = {name: p.detach() for name, p in policy.named_parameters()}
    return found if psa_weights is None else found | {name: t.detach() for name, t in trained.items()}, history


def compare_with_engine(manifest, trees, psa_weights):
    """Per trained token of the starting policy: log-prob without z, log-prob as sampled, engine's log-prob, entropy, has z."""
    policy, temperature = policy_of(manifest), manifest.rollout.temperature
    columns = [[] for _ in range(5)]
    for ids, start, t in samples(trees):
        with torch.no_grad():
            free, entropy = token_statistics(policy, ids, start, temperature)
            sampled, _ = token_statistics(policy, ids, start, temperature, maps=namespace(psa_weights), psa=manifest.latent.psa, z=t.latent)
        has_z = torch.full_like(free, float(t.latent is not None))
        for column, values in zip(columns, (free, sampled, torch.tensor(t.logprobs), entropy, has_z), strict=True):
            column.append(values)
    return [torch.cat(column) for column in columns]
