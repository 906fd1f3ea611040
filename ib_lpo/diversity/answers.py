"""How the final answers of samples differ; pure. Answers that mean the same must be spelled alike (scoring/answer_classes.py)."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np


def answer_entropy(answers: Sequence[str | None]) -> float:
    """Entropy of the final answers, nats; None, no answer, is a class of its own. nan without samples."""
    if not answers:
        return math.nan
    shares = np.array(list(Counter(answers).values())) / len(answers)
    return float(-(shares * np.log(shares)).sum()) + 0.0


def given_answer_entropy(answers: Sequence[str | None]) -> float:
    """Entropy among the answers that were given, nats; nan when there are none."""
    return answer_entropy([answer for answer in answers if answer is not None])
