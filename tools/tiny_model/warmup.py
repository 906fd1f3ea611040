"""Supervised warm-up: cross-entropy on the responses alone, stopped while the model still errs."""

import random
from collections.abc import Callable, Iterable
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ib_lpo.scoring.answer_text import find_answer
from ib_lpo.tree import Question
from tiny_model.examples import Example, batches, examples
from tiny_model.measure import Answers, measure
from tiny_model.recipe import Phase, Recipe

Report = Callable[[Phase, int, float, Answers | None], None]  # phase, steps done in it, loss in nats per token, latest check
_CHECKED = 64  # questions of a check, two samples each
_CHECK_STREAM = 7


def warm_up(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, held_out: list[Question], report: Report) -> None:
    """Train `model` in place through the recipe's phases; `report` is called after every step."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / recipe.warmup_steps))
    texts = {question.text for question in held_out}
    for stream, phase in enumerate(recipe.phases):
        source = examples(recipe, bare=phase.bare, held_out=texts, stream=stream)
        supply = batches(source, recipe.batch, random.Random(recipe.seed))
        for step in range(1, phase.most_steps + 1):
            loss = response_loss(model, tokenizer, next(supply))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            check = _check(model, tokenizer, recipe, phase, texts, step) if step % phase.check_every == 0 else None
            report(phase, step, float(loss.detach()), check)
            if check is not None and check.accuracy >= phase.target:
                break


def response_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch: Iterable[Example]) -> Tensor:
    """Mean cross-entropy, nats, of the response tokens and the end token; prompts carry no loss."""
    prompts = [tokenizer(example.prompt)["input_ids"] for example in batch]
    responses = [[*tokenizer(example.response)["input_ids"], tokenizer.eos_token_id] for example in batch]
    width = max(len(p) + len(r) for p, r in zip(prompts, responses, strict=True))
    ids = torch.full((len(prompts), width), tokenizer.pad_token_id)  # [N, T]; causal, so right padding is never seen
    targets = torch.full_like(ids, -100)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        ids[row, : len(prompt) + len(response)] = torch.tensor(prompt + response)
        targets[row, len(prompt) : len(prompt) + len(response)] = torch.tensor(response)
    logits = model(ids, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())


def _check(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, phase: Phase, held_out: set[str], seed: int
) -> Answers:
    """Answers to questions of their own: the held-out ones have no part in when to stop, so their figures stay unbiased."""
    asked = list(islice(examples(recipe, bare=phase.bare, held_out=held_out, stream=_CHECK_STREAM), _CHECKED))
    golds = [find_answer(example.response).expression for example in asked]
    return measure(model, tokenizer, [example.prompt for example in asked], golds, samples=2, seed=seed)
