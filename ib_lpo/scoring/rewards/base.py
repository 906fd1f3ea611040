"""What a reward is, and what a plug-in has to provide.

A reward is any callable of a response and its gold answer; the manifest names it:

    verifier:
      reward: my_package.rewards:exact      # a dotted path, or the name of an entry point of the group `ib_lpo.rewards`

    # my_package/rewards.py
    def exact(response: str, answer: str) -> float:
        return float(response.strip().endswith(answer))

It may do what it likes: it runs in grading processes of its own, under `verifier.deadline_s` and `verifier.memory_mb`, one item at a
time. An item on which it overruns, runs out of memory, raises or returns something else is UNVERIFIABLE and counted: no reward, no
gradient. What it writes to stderr is shown, its stdout is not. The module is imported once per process, under
`verifier.start_deadline_s`; what it holds then does not count towards `memory_mb`.
"""

from typing import Protocol

from ib_lpo.scoring.grades import Grade


class Reward(Protocol):
    """A verifiable reward.

    Optional attribute `accepts(answer: str) -> bool`: whether responses can be judged against a gold answer. The gold answers of all
    questions are put to it when a run starts. Without it, every gold answer is accepted.
    """

    def __call__(self, response: str, answer: str) -> float | Grade | None:
        """The reward of a response, special tokens included, given the gold answer of its question.

        A number in [0, 1]: 1.0 is CORRECT, less is WRONG with that much credit. None: it cannot be told. A Grade says more: NO_ANSWER, or
        the `answer` that the response gives, of at most 900 characters, which `ib-lpo eval` counts votes of.
        """
        ...
