"""Our flat-packed loss step against that of TRL's GRPOTrainer: forward, loss and backward of one batch, same weights, same token ids.

TRL stays out of the environment: one pinned wheel, without dependencies, unpacked beside it and on sys.path of the measuring process
alone, so that both sides run on the same torch and transformers. The trainer is built as its users build it and then given batches as
its own rollout code makes them; nothing of it is replaced, but for the one variant that says so.
"""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path as Folder
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.compare import Comparison, alternate, goal
from benchmarks.learner_batch import padded, padding_share, real_tokens, rollouts
from benchmarks.learner_policy import CLIP, VOCABULARIES, Disagreement, backward, gradient_norm, module, policy, speed, token_logprobs
from ib_lpo.learner.model import PolicyModule
from ib_lpo.learner.packing import deal
from ib_lpo.policy.forest import Path

VERSION = "1.16.0"
HOME = Folder(__file__).resolve().parents[2] / ".cache" / "bench" / f"trl-{VERSION}"
INSTALL_DEADLINE_S = 600
QUESTIONS, EACH, DEFAULT_SIZE, SIZES = 2, 8, 8, (2, 4, 8, 16)
TOLERANCES = {"cpu": (1e-4, 1e-4), "cuda": (0.1, 0.05)}  # largest |log-prob difference| in nats; relative, of losses and gradient norms
GOAL = 1.5


def install() -> Folder:
    """The folder with TRL, installed unless it is there. Raises CalledProcessError or TimeoutExpired when pip fails."""
    if not HOME.exists():
        beside = HOME.with_suffix(".partial")
        shutil.rmtree(beside, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(beside), f"trl=={VERSION}"]
        subprocess.run(command, check=True, timeout=INSTALL_DEADLINE_S)
        beside.rename(HOME)
    return HOME


class Trl:
    """A GRPOTrainer and one batch in the form its rollouts have."""

    def __init__(self, vocabulary: int, paths: list[Path], advantages: np.ndarray, device: str):
        from trl import GRPOConfig, GRPOTrainer

        self.vocabulary, self.paths, self.advantages, self.device = vocabulary, paths, advantages, device
        config = GRPOConfig(
            output_dir=str(HOME.parent / "trl-output"),
            per_device_train_batch_size=DEFAULT_SIZE,
            gradient_accumulation_steps=len(paths) // DEFAULT_SIZE,
            num_generations=EACH,
            gradient_checkpointing=False,
            epsilon=CLIP.clip_low,
            epsilon_high=CLIP.clip_high,
            use_cpu=device == "cpu",
            bf16=device == "cuda",
            report_to=[],
        )
        self.trainer = GRPOTrainer(
            model=policy(vocabulary, device),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=config,
            train_dataset=_questions(),
            processing_class=_tokenizer(),
        )
        self.model = self.trainer.model.train()

    def micro_batches(self, size: int) -> list[dict[str, Tensor]]:
        """What the trainer's own rollout hands to its loss, `size` rows at a time: padded over the whole batch, shuffled, split."""
        from trl.trainer.utils import shuffle_sequence_dict, split_tensor_dict

        torch.manual_seed(0)
        batch = {name: values.to(self.device) for name, values in padded(self.paths, self.advantages).items()}
        return split_tensor_dict(shuffle_sequence_dict(batch), len(self.paths) // size)

    def step(self, size: int) -> float:
        """Sum of the losses of all micro-batches; gradients are added to the weights'."""
        batches = self.micro_batches(size)
        self.trainer.current_gradient_accumulation_steps = self.trainer.args.steps_per_generation = len(batches)
        total = 0.0
        for batch in batches:
            loss = self.trainer.compute_loss(self.model, batch)
            loss.backward()
            total += loss.item()
        return total

    def logprobs(self) -> Tensor:
        """[N] in the order of the paths, as its loss sees them."""
        batch = {name: values.to(self.device) for name, values in padded(self.paths, self.advantages).items()}
        ids, mask = (torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], dim=1) for kind in ("ids", "mask"))
        with torch.no_grad():
            found, _, _ = self.trainer._get_per_token_logps_and_entropies(
                self.model, ids, mask, batch["completion_ids"].shape[1], batch_size=DEFAULT_SIZE, compute_entropy=True
            )
        return found[batch["completion_mask"].bool()]


def against_trl(_: Folder, device: str, rounds: int) -> list[Comparison]:
    """Tokens per second of both, one table per vocabulary."""
    sys.path.insert(0, str(install()))
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
    return [_compare(vocabulary, device, rounds) for vocabulary in VOCABULARIES]


def _compare(vocabulary: int, device: str, rounds: int) -> Comparison:
    paths, advantages = rollouts(np.random.default_rng(0), questions=QUESTIONS, each=EACH, vocabulary=vocabulary)
    ours, trl = module(vocabulary, device), Trl(vocabulary, paths, advantages, device)
    budget = DEFAULT_SIZE * real_tokens(paths) // len(paths)
    hands = _hands(paths, budget)
    mine = partial(_our_step, ours, paths, advantages, hands, device)
    agreement = _agree(ours, trl, mine)

    of_trl = {size: partial(speed, trl.model, partial(trl.step, size), real_tokens(paths), device) for size in SIZES}
    spared = {size: partial(_compactly, run) for size, run in of_trl.items()} if device == "cpu" else of_trl
    best = max(SIZES, key=lambda size: spared[size]())
    where = f"best of {', '.join(map(str, SIZES))}" + ("; output layer on completions alone, as on CUDA" if device == "cpu" else "")
    variants = {
        f"TRL {VERSION}, {DEFAULT_SIZE} rows at a time (its default)": of_trl[DEFAULT_SIZE],
        f"TRL {VERSION}, {best} rows at a time ({where})": spared[best],
    }
    variants["ours, flat packing"] = partial(speed, ours, mine, real_tokens(paths), device)
    found = alternate(f"Loss step against TRL, vocabulary {vocabulary:,}", "tokens/s", variants, rounds)
    return found.noted(_note(found, paths, budget, agreement))


def _our_step(ours: PolicyModule, paths: list[Path], advantages: np.ndarray, hands: list[list[int]], device: str) -> float:
    total = sum(len(path.ids) - path.start for path in paths)
    return sum(backward(ours, [paths[i] for i in hand], advantages[hand], total, share=False, device=device) for hand in hands)


def _hands(paths: list[Path], budget: int) -> list[list[int]]:
    """As the learner deals trajectories into micro-batches of at most `budget` tokens."""
    return [hand for (hand,) in deal([len(path.ids) for path in paths], ranks=1, budget=budget)]


def _agree(ours: PolicyModule, trl: Trl, mine: Any) -> str:
    """What the two sides differ by. Raises Disagreement."""
    with torch.no_grad():
        logprobs, _ = token_logprobs(ours, trl.paths, share=False, device=trl.device)
    difference = (logprobs - trl.logprobs()).abs().max().item()
    losses = mine(), trl.step(DEFAULT_SIZE)
    norms = gradient_norm(ours), gradient_norm(trl.model)
    most_nats, most_share = TOLERANCES[trl.device]
    if difference > most_nats or any(abs(a - b) > most_share * abs(b) for a, b in (losses, norms)):
        raise Disagreement(f"ours and TRL differ: log-probs by up to {difference:.1e} nats, losses {losses}, gradient norms {norms}")
    return (
        f"Log-probs differ by at most {difference:.1e} nats; loss {losses[0]:.6f} and {losses[1]:.6f}, gradient norm {norms[0]:.5f} and "
        f"{norms[1]:.5f} (ours and TRL's)."
    )


def _note(found: Comparison, paths: list[Path], budget: int, agreement: str) -> str:
    _, theirs, mine = (found.ratio(name) for name in found.samples)
    return (
        f"{QUESTIONS} prompts, {EACH} responses each: {real_tokens(paths):,} tokens, padded {padding_share(paths):.0%} of the places hold "
        f"none; ours in micro-batches of at most {budget:,} tokens. {agreement} Against TRL as it is: {goal(GOAL, mine)} Against its "
        f"fastest variant: {goal(GOAL, mine / theirs)}"
    )


@contextmanager
def _completions_alone() -> Iterator[None]:
    """TRL scores only the places with a label where it has its Triton kernels, and all places elsewhere."""
    from trl.trainer import utils

    found, utils._use_triton = utils._use_triton, lambda device: True
    try:
        yield
    finally:
        utils._use_triton = found


def _compactly(measure: Any) -> float:
    with _completions_alone():
        return measure()


def _tokenizer() -> Any:
    """The trainer insists on one; no text is ever tokenized here."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1, "question": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")


def _questions() -> Any:
    from datasets import Dataset

    return Dataset.from_list([{"prompt": "question"}] * (QUESTIONS * EACH))
