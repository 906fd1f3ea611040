"""Responses of a question made an outcome: verdicts, answers, and how the responses differ."""

from collections.abc import Sequence

from ib_lpo.diversity.measures import measure
from ib_lpo.evaluation.embedder import embedder
from ib_lpo.evaluation.outcome import Outcome, outcomes
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.request import Generation
from ib_lpo.scoring.answer_classes import Grader
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.tree import Question


class Grading:
    """Of one evaluation."""

    def __init__(self, manifest: Manifest, decode: Decode, grade: Grader, compare: Grader):
        """Raises UserError when evaluation.embedding cannot be loaded."""
        config = manifest.evaluation
        self._decode, self._grade, self._compare = decode, grade, compare
        self._diversity, self._compared = config.diversity, config.diversity_samples
        self._encode = embedder(manifest) if config.diversity else None

    def outcome(self, question: Question, generations: Sequence[Generation]) -> Outcome:
        """The outcome of a question from its n responses."""
        ids = [generation.token_ids.tolist() for generation in generations]
        texts = [self._decode(of) for of in ids]
        statuses = [generation.status for generation in generations]
        (found,) = outcomes([question], [texts], [[len(of) for of in ids]], [statuses], self._grade, self._compare)
        if self._diversity and len(ids) > 1:
            few = slice(self._compared)
            features = None if self._encode is None else self._encode([generation.token_ids for generation in generations[few]]).numpy()
            answers = None if found.answerless else [sample.answer_class for sample in found.samples[few]]
            found.diversity.update(measure(ids[few], texts[few], answers, features))
        return found
