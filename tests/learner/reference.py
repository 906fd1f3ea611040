"""The whole update in plain single-process PyTorch, one sequence at a time, on whole logits. No part of the learner is used."""

from types import SimpleNamespace

import torch
from transformers import AutoModelForCausalLM

from tests.policy.reference import reference_logits


def token_statistics(policy, ids, start, temperature):
    logits = policy(torch.as_tensor(ids, dtype=torch.int64)[None]).logits[0, start - 1 : -1]
    targets = torch.as_tensor(ids[start:], dtype=torch.int64)
    logprobs = torch.log_softmax(logits / temperature, -1)[torch.arange(len(targets)), targets]
    probabilities = torch.softmax(logits, -1)
    return logprobs, -(probabilities * probabilities.log()).sum(-1)


def samples(trees):
    for tree in trees:
        for t in tree.trajectories:
            if t.kept:
                ids = [*tree.question.prompt_ids, *t.prefix_ids.tolist(), *t.token_ids.tolist()]
                yield ids, len(ids) - len(t.token_ids), torch.tensor(t.logprobs), t.advantage


def train(manifest, steps):
    """Weights after the updates {name: tensor}, and of each update the mean loss and gradient norm over its epochs."""
    config, loss_config = manifest.learner, manifest.learner.loss
    policy = AutoModelForCausalLM.from_pretrained(manifest.model.path, dtype=torch.float32)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
    updates, history = 0, []
    for trees in steps:
        data = list(samples(trees))
        with torch.no_grad():
            old = [token_statistics(policy, ids, start, manifest.rollout.temperature)[0] for ids, start, _, _ in data]
        count = sum(len(o) for o in old)
        losses, norms = [], []
        for _ in range(config.epochs):
            total = torch.zeros(())
            for (ids, start, behaviour, advantage), before in zip(data, old, strict=True):
                logprobs, entropy = token_statistics(policy, ids, start, manifest.rollout.temperature)
                for t in range(len(before)):
                    ratio = torch.exp(logprobs[t] - before[t])
                    bounded = torch.clamp(ratio, 1 - loss_config.clip_low, 1 + loss_config.clip_high)
                    weight = min(loss_config.is_cap, float(torch.exp(before[t] - behaviour[t])))
                    total = total - weight * torch.minimum(ratio * advantage, bounded * advantage)
                    total = total - manifest.ib.self_reward_weight * advantage * entropy[t]
            optimizer.zero_grad()
            (total / count).backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(policy.parameters(), config.grad_clip)))
            losses.append(float(total.detach() / count))
            optimizer.param_groups[0]["lr"] = config.lr * min(1.0, (updates + 1) / max(1, config.warmup_steps))
            optimizer.step()
            updates += 1
        history.append({"loss": sum(losses) / len(losses), "grad_norm": sum(norms) / len(norms)})
    return {name: p.detach() for name, p in policy.named_parameters()}, history


def compare_with_engine(manifest, trees, psa_weights):
    """Per trained token of the starting policy: log-prob without z, log-prob as sampled, engine's log-prob, entropy, has z."""
    policy = AutoModelForCausalLM.from_pretrained(manifest.model.path, dtype=torch.float32)
    maps = SimpleNamespace(kv=psa_weights["psa.kv"], norm=psa_weights["psa.norm"])
    layers = (policy.config.num_hidden_layers - 1,)
    columns = [[] for _ in range(5)]
    for tree in trees:
        for t in (t for t in tree.trajectories if t.kept):
            ids = torch.tensor([*tree.question.prompt_ids, *t.prefix_ids.tolist(), *t.token_ids.tolist()])
            start = len(ids) - len(t.token_ids)
            with torch.no_grad():
                free, entropy = token_statistics(policy, ids, start, manifest.rollout.temperature)
            sampled = free
            if t.latent is not None:
                logits = reference_logits(policy, ids, maps, layers, manifest.latent.psa, torch.tensor(t.latent), start - 1)
                scaled = torch.log_softmax(logits[start - 1 : -1] / manifest.rollout.temperature, -1)
                sampled = scaled[torch.arange(len(t.token_ids)), ids[start:]]
            has_z = torch.full_like(free, float(t.latent is not None))
            for column, values in zip(columns, (free, sampled, torch.tensor(t.logprobs), entropy, has_z), strict=True):
                column.append(values)
    return [torch.cat(column) for column in columns]
