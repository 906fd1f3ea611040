"""Supervised warm-up: cross-entropy on the responses alone, stopped while the model still errs."""

import copy
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tiny_model.band import reach
from tiny_model.examples import Example, batches, examples, fresh_items, prompt_of
from tiny_model.measure import measure
from tiny_model.recipe import Recipe
from tiny_model.tasks.base import Item, Phase, Task

Report = Callable[[Phase, int, float, Mapping[str, float] | None], None]  # phase, steps done in it, loss in nats per token, latest figures
_COARSE, _FINE = (64, 2), (256, 4)  # questions of a check, samples of each


def warm_up(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, held_out: set[str], report: Report
) -> dict[str, float]:
    """Train `model` in place through the recipe's phases and return the figures of the last check. `held_out` are question texts.

    Checks have questions of their own, which the warm-up does not train on either. `report` is called after every step. Raises BandError.
    """
    asked = fresh_items(recipe, _FINE[0], held_out=held_out, stream="checks")
    apart = held_out | ({item.question for item in asked} if recipe.task.files is not None else set())
    learner = _Learner(model, tokenizer, recipe, asked)
    figures = {}
    for phase in recipe.stages:
        learner.begin(phase, apart, report)
        figures = reach(learner, phase.bands, most_steps=phase.most_steps, check_every=phase.check_every, report=learner.tell)
    return dict(figures)


class _Learner:
    """Model and optimiser as `reach` needs them."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, asked: list[Item]):
        self._model, self._tokenizer, self._recipe, self._asked = model, tokenizer, recipe, asked
        self._optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.task.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self._total = 0

    def begin(self, phase: Phase, apart: set[str], report: Report) -> None:
        source = examples(self._recipe, bare=phase.bare, held_out=apart, stream=phase.name)
        self._phase, self._report, self._done, self._loss = phase, report, 0, 0.0
        task = self._recipe.task
        self._supply = batches(source, task.batch, random.Random(self._recipe.seed), window=task.window)

    def train(self, steps: int, rate: float) -> None:
        for _ in range(steps):
            self._total, self._done = self._total + 1, self._done + 1
            for group in self._optimiser.param_groups:
                group["lr"] = self._recipe.task.lr * rate * min(1.0, self._total / self._recipe.warmup_steps)
            loss = response_loss(self._model, self._tokenizer, next(self._supply))
            self._optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimiser.step()
            self._loss = float(loss.detach())
            self._report(self._phase, self._done, self._loss, None)

    def check(self, *, fine: bool) -> dict[str, float]:
        count, samples = _FINE if fine else _COARSE
        items = self._asked[:count]
        prompts = [prompt_of(self._recipe, item, bare=self._phase.bare) for item in items]
        answers = measure(
            self._model, self._tokenizer, prompts, [item.answer for item in items],
            samples=samples, most_tokens=self._recipe.task.responses, seed=self._total,
        )  # fmt: skip
        return figures_of(self._recipe.task, [item for item in items for _ in range(samples)], answers.texts, answers.right)

    def tell(self, figures: Mapping[str, float]) -> None:
        self._report(self._phase, self._done, self._loss, figures)

    def state(self) -> Any:
        return copy.deepcopy((self._model.state_dict(), self._optimiser.state_dict()))

    def restore(self, state: Any) -> None:
        weights, optimiser = copy.deepcopy(state)
        self._model.load_state_dict(weights)
        self._optimiser.load_state_dict(optimiser)


def figures_of(task: Task, items: Iterable[Item], texts: Iterable[str], right: Iterable[bool]) -> dict[str, float]:
    """Means of accuracy and of the task's own figures; one that no response has a say in is 0."""
    rows = [{"accuracy": float(good)} | dict(task.figures(item, text)) for item, text, good in zip(items, texts, right, strict=True)]
    found = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]}
    return {name: sum(values) / max(1, len(values)) for name, values in found.items()}


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
