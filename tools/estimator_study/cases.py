"""The four cases of the paper's case study (method.md section 2), written for this repository: four solutions of one question.

The texts are fixed: an estimator that does not give the published order is reported, not helped. The two concise ones differ in the last
step and in the answer alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from estimator_study.setup import questions
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_tokenizer
from ib_lpo.tree import RolloutTree, Status, Trajectory, VersionSpan

QUESTION_FILE = Path(__file__).with_name("case_question.jsonl")
LOOP_TOKENS = 1024  # the looping case has at least as many


@dataclass(frozen=True, slots=True)
class Case:
    """One solution; a finished one gets the end token."""

    name: str
    published: float  # S_IB of the paper's case study, in descending order over CASES
    text: str
    finished: bool = True


_VERBOSE = (
    "Let us think about this problem very carefully, because word problems can be tricky and it is important to read every sentence. "
    "First of all, we should notice that the problem talks about a person called Natalia, who sells clips to her friends. Selling "
    "clips is a nice hobby, and many people enjoy having colourful clips. There are many ways to approach a problem like this one. "
    "One could draw a picture, one could make a table, or one could write down an equation. It is always a good idea to check the "
    "units, and here the units are clips. April comes before May, and both months are in spring, so the order of the months is clear. "
    "It is also worth remembering that half of something means that we divide it by two, which is a very common operation in "
    "mathematics. Now, in April Natalia sold 48 clips, as the problem states at the beginning. In May, as the problem also states, "
    "she sold half as many clips as she did in April. Half of 48 is 48 / 2 = 24, which we can double check, because 24 + 24 = 48, and "
    "so this is right. The word altogether tells us that we should add, and adding is something that we can do in any order. So we "
    "add the two numbers together, one for April and one for May, and obtain 48 + 24 = 72 clips in total. We may also want to reflect "
    "on whether this makes sense, and indeed it does, because 72 is more than 48, just as we would expect.\n"
    "The answer is \\boxed{72}."
)

CASES = (
    Case(
        "concise and correct",
        0.85,
        "In April Natalia sold 48 clips. In May she sold half as many: 48 / 2 = 24 clips. Altogether she sold 48 + 24 = 72 clips.\n"
        "The answer is \\boxed{72}.",
    ),
    Case(
        "wrong but concise",
        0.20,
        "In April Natalia sold 48 clips. In May she sold half as many: 48 / 2 = 24 clips. Altogether she sold 48 - 24 = 24 clips.\n"
        "The answer is \\boxed{24}.",
    ),
    Case("verbose", 0.15, _VERBOSE),
    Case(
        "looping",
        -0.85,
        "In April Natalia sold 48 clips. In May she sold half as many clips. "
        + "We need to find how many clips she sold in May. She sold half as many clips in May. " * 60,
        finished=False,
    ),
)


def case_tree(run: Manifest) -> RolloutTree:
    """The four cases as ungraded roots of the question, in the order of CASES, tokenised by the policy's tokenizer.

    Nobody sampled them: behaviour log-probs are 0, and entropies are 0 until `scoring.log_entropies` fills them in.
    """
    tokenizer = load_tokenizer(run.model)
    (question,) = questions(QUESTION_FILE, run)
    tree = RolloutTree(question=question)
    for number, case in enumerate(CASES):
        ids = tokenizer.encode(case.text, add_special_tokens=False) + [tokenizer.eos_token_id] * case.finished
        status = Status.FINISHED if case.finished else Status.TRUNCATED
        tree.trajectories.append(_trajectory(f"{question.id}/r{number}", np.array(ids, dtype=np.int32), status))
    return tree


def _trajectory(name: str, ids: np.ndarray, status: Status) -> Trajectory:
    zeros = np.zeros(ids.size, dtype=np.float32)
    unsampled = {"seed": 0, "engine": 0, "spans": (VersionSpan(version=0, start=0, end=ids.size),), "cached_tokens": 0}
    return Trajectory(id=name, prefix_ids=np.zeros(0, np.int32), token_ids=ids, logprobs=zeros, entropies=zeros, status=status, **unsampled)
