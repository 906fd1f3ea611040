"""How a model answers: sampled at temperature 1, without branching and without z."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ib_lpo.scoring.answer_text import find_answer

_AT_ONCE = 512  # responses sampled together


@dataclass(frozen=True, slots=True)
class Answers:
    """Sampled responses, those to one prompt together, and means over all of them; entropies over all their tokens, in nats."""

    texts: tuple[str, ...]
    right: tuple[bool, ...]
    well_formed: float  # share with a boxed answer and an end token
    tokens: float
    entropy: float
    hesitant: float  # share of tokens whose entropy exceeds 0.5 nats

    @property
    def accuracy(self) -> float:
        return sum(self.right) / len(self.right)


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
    prompts, golds = ([one for one in each for _ in range(samples)] for each in (prompts, golds))
    parts = [_sample(model, tokenizer, prompts[at : at + _AT_ONCE], most_tokens) for at in range(0, len(prompts), _AT_ONCE)]
    model.train()
    texts = [text for part in parts for text in part[0]]
    found = [find_answer(text) for text in texts]
    lengths, ended = (torch.cat([part[place] for part in parts]) for place in (1, 2))
    entropies = torch.cat([part[3] for part in parts])
    return Answers(
        texts=tuple(texts),
        right=tuple(a is not None and a.expression == gold for a, gold in zip(found, golds, strict=True)),
        well_formed=sum(a is not None and end for a, end in zip(found, ended.tolist(), strict=True)) / len(texts),
        tokens=float(lengths.float().mean()),
        entropy=float(entropies.mean()),
        hesitant=float((entropies > 0.5).float().mean()),
    )


def _sample(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[str], most_tokens: int
) -> tuple[list[str], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Texts, their tokens [N], whether they ended [N], and the entropies of all generated tokens."""
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    out = model.generate(**inputs, do_sample=True, top_k=0, max_new_tokens=most_tokens, return_dict_in_generate=True, output_logits=True)
    responses = out.sequences[:, inputs["input_ids"].shape[1] :]  # [N, T]
    ends = (responses == tokenizer.eos_token_id).int()
    generated = ends.cumsum(1) - ends == 0  # [N, T], the end token included
    log_probs = torch.stack(out.logits, 1)[generated].float().log_softmax(-1)
    texts = [tokenizer.decode(row[mask], skip_special_tokens=True) for row, mask in zip(responses, generated, strict=True)]
    return texts, generated.sum(1), ends.any(1), -(log_probs.exp() * log_probs).sum(-1)
