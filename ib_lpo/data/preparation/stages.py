"""The stages one after another, and what is written at their end: the questions first, then the card that holds their hash."""

from pathlib import Path

from rich import get_console

from ib_lpo.data.preparation import pass_rates
from ib_lpo.data.preparation.candidates import Inputs
from ib_lpo.data.preparation.card import Card, StageCounts, table, write_card
from ib_lpo.data.preparation.filters import FILTERS
from ib_lpo.data.preparation.output import write_questions
from ib_lpo.data.preparation.stage import Context
from ib_lpo.data.sources import DataError
from ib_lpo.manifest import Manifest
from ib_lpo.progress import say
from ib_lpo.scoring.rewards.find import locate
from ib_lpo.scoring.verifier import Verifier


def run(manifest: Manifest, inputs: Inputs, path: Path) -> None:
    """Filter `inputs` and write `path` and the card. Raises UserError, and DataError when no question is left."""
    locate(manifest.verifier.reward)
    if manifest.prepare.difficulty.samples:
        pass_rates.check(manifest)
    verifier = Verifier(manifest.verifier)
    try:
        card = _filtered(inputs, Context(manifest=manifest, verifier=verifier, benchmarks=inputs.benchmarks, folder=path.parent))
    finally:
        verifier.close()
    if not card.questions:
        raise DataError(f"prepare: no question is left: {_losses(card)}; loosen the stage that takes most")
    write_questions(path, card.questions)
    write_card(card, path)
    get_console().print(table(card))
    say(f"{len(card.questions)} questions written to {path}, the card to {path.with_name('card.md')}")


def _filtered(inputs: Inputs, context: Context) -> Card:
    candidates = inputs.candidates
    stages = [StageCounts.of("read", candidates)]
    details = {}
    for name, stage in FILTERS.items():
        outcome = stage(candidates, context)
        if outcome is None:
            stages.append(StageCounts.of(name, candidates, off=True))
            continue
        candidates = outcome.kept
        stages.append(StageCounts.of(name, candidates, dropped=outcome.dropped, noted=outcome.noted))
        details[name] = outcome.details
    return Card(manifest=context.manifest, inputs=inputs, stages=stages, details=details, questions=candidates)


def _losses(card: Card) -> str:
    return ", ".join(f"{name} dropped {sum(stage.dropped.values())}" for stage in card.stages if (name := stage.name) and stage.dropped)
