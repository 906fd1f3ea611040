"""`ib-lpo export`: a checkpoint for everybody else."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ib_lpo.cli.common import user_errors


class Dtype(StrEnum):
    """Types of exported weights."""

    run = "run"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="runs/NAME/checkpoints/step-000040, or a run directory: its newest checkpoint.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The directory to write.")],
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Type of the weights; run: the one that the run computed in.")] = Dtype.run,
    best: Annotated[bool, typer.Option("--best", help="Of a run directory, the checkpoint that is best by checkpoint.best.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the model's own code where the checkpoint's manifest says so.")
    ] = False,
) -> None:
    """Write a checkpoint's policy as a Hugging Face model that transformers and vLLM load, with its latent beside it."""
    with user_errors():
        from ib_lpo.checkpoints.export import export as run

        run(checkpoint, out, dtype=dtype.value, best=best, trust_remote_code=trust_remote_code)
