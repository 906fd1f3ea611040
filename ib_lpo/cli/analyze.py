"""`ib-lpo analyze`: studies of what training and its parts do, one command each; tables, figures, and the figures' data as CSV."""

import typer

from ib_lpo.cli.common import ManifestPath, Out, Overrides, RunPath, RunPaths, read, user_errors

app = typer.Typer(help="Studies of what training and its parts do.", no_args_is_help=True)


@app.command("latent")
def latent(path: ManifestPath, overrides: Overrides = None) -> None:
    """Compare branches with z and without at the same forks."""
    with user_errors():
        manifest = read(path, overrides)
        from ib_lpo.analysis.latent.analyze import analyze

        analyze(manifest)


@app.command("entropy-groups")
def entropy_groups(path: ManifestPath, overrides: Overrides = None) -> None:
    """Decode on from tokens of low, middle and high entropy with several decoding strategies: where do continuations differ?"""
    with user_errors():
        manifest = read(path, overrides)
        from ib_lpo.analysis.entropy_groups.analyze import analyze

        analyze(manifest)


@app.command("dynamics")
def dynamics(runs: RunPaths, out: Out = None) -> None:
    """Accuracy, response length and 4-gram repetition over the steps of runs."""
    with user_errors():
        from ib_lpo.analysis.dynamics.analyze import analyze

        analyze(runs, out)


@app.command("entropy")
def entropy(runs: RunPaths, out: Out = None) -> None:
    """Distribution of token entropies of runs, over their steps."""
    with user_errors():
        from ib_lpo.analysis.entropy.analyze import analyze

        analyze(runs, out)


@app.command("failures")
def failures(run: RunPath, out: Out = None) -> None:
    """Failure modes of a run's trajectories of low S_IB, with examples."""
    with user_errors():
        from ib_lpo.analysis.failures.analyze import analyze

        analyze(run, out)


@app.command("compare")
def compare(runs: RunPaths, out: Out = None) -> None:
    """Several runs in one table, with intervals."""
    with user_errors():
        from ib_lpo.analysis.compare.analyze import analyze

        analyze(runs, out)
