"""`ib-lpo data prepare`: sources through the stages into one file of training questions, with a card that says what happened.

    runs/<name>-data/  questions.parquet   id, question, answer, solution, source, pass_rate
                       card.md, card.json  counts after every stage, settings, overlap with benchmarks, hashes, versions
                       pass_rates.jsonl    samples so far, of an interrupted call or a finished one

Everything that is wrong with data is found before torch is imported, let alone a model loaded. The same input and manifest give the same
bytes; a repeated call replaces what an earlier one wrote, each file in one step, and samples no question twice.
"""

from pathlib import Path

from ib_lpo.data.preparation.candidates import read_inputs
from ib_lpo.data.preparation.output import output_path
from ib_lpo.manifest import Manifest


def prepare(manifest: Manifest) -> Path:
    """The path of the questions. Raises UserError with one line per problem, and when no question is left."""
    path = output_path(manifest)
    inputs = read_inputs(manifest)
    from ib_lpo.data.preparation.stages import run

    run(manifest, inputs, path)
    return path
