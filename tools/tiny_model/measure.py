"""How a model answers: sampled at temperature 1, without branching and without z."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ib_lpo.scoring.answer_text import find_answer


@dataclass(frozen=True, slots=True)
class Answers:
    """Means over all sampled responses; entropies over all their tokens, in nats."""

    accuracy: float
    well_formed: float  # share with a boxed answer and an end token
    tokens: float
    entropy: float
    hesitant: float  # share of tokens whose entropy exceeds 0.5 nats
    examples: tuple[str, ...]


@torch.no_grad()
def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    golds: list[str],
    *,
    samples: int,
    most_tokens: int = 64,
    seed: int = 0,
) -> Answers:
    """Sample `samples` responses per prompt with a fixed seed and compare their boxed answers with `golds`."""
    torch.manual_seed(seed)
    model.eval()
    golds = [gold for gold in golds for _ in range(samples)]
    inputs = tokenizer([p for p in prompts for _ in range(samples)], return_tensors="pt", padding=True, padding_side="left")
    out = model.generate(**inputs, do_sample=True, top_k=0, max_new_tokens=most_tokens, return_dict_in_generate=True, output_logits=True)
    responses = out.sequences[:, inputs["input_ids"].shape[1] :]  # [N, T]
    ends = (responses == tokenizer.eos_token_id).int()
    generated = ends.cumsum(1) - ends == 0  # [N, T], the end token included
    distribution = torch.distributions.Categorical(logits=torch.stack(out.logits, 1).float())
    entropies = distribution.entropy()[generated]
    texts = [tokenizer.decode(row[mask], skip_special_tokens=True) for row, mask in zip(responses, generated, strict=True)]
    found = [find_answer(text) for text in texts]
    ended = ends.any(1).tolist()
    model.train()
    return Answers(
        accuracy=sum(a is not None and a.expression == gold for a, gold in zip(found, golds, strict=True)) / len(texts),
        well_formed=sum(a is not None and end for a, end in zip(found, ended, strict=True)) / len(texts),
        tokens=float(generated.sum(1).float().mean()),
        entropy=float(entropies.mean()),
        hesitant=float((entropies > 0.5).float().mean()),
        examples=tuple(texts[:: max(1, len(texts) // 6)]),
    )
