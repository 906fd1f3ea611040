"""The data card in Markdown, from the values of card.json."""

from typing import Any

import yaml


def markdown(values: dict[str, Any]) -> str:
    """The whole card."""
    parts = [
        f"# Questions of {values['name']}",
        f"{values['questions']} questions in `{values['output']['file']}` (columns id, question, answer, solution, source, pass_rate), "
        "made by `ib-lpo data prepare`.",
        "## Stages",
        _stages(values["stages"]),
        *_overlap(values["details"].get("contamination")),
        *_pass_rates(values["details"].get("difficulty")),
        *_contradictions(values["details"].get("duplicates")),
        "## Inputs",
        _inputs(values["inputs"]),
        f"Output: `{values['output']['file']}`, sha256 `{values['output']['sha256']}`.",
        "## Settings",
        "```yaml\n" + yaml.safe_dump(values["settings"], sort_keys=False, allow_unicode=True, width=1000) + "```",
        "Made with " + ", ".join(f"{name} {number}" for name, number in values["versions"].items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _stages(stages: list[dict[str, Any]]) -> str:
    sources = list(stages[0]["left_by_source"])
    rows = []
    for stage in stages:
        why = "; ".join(f"{count} {reason}" for reason, count in {**stage["dropped"], **stage["noted"]}.items())
        dropped = "off" if stage["off"] else sum(stage["dropped"].values())
        rows.append([stage["name"], dropped, stage["left"], *(stage["left_by_source"][name] for name in sources), why])
    return _table(["stage", "dropped", "left", *sources, "why"], rows)


def _overlap(details: dict[str, Any] | None) -> list[str]:
    if not details or not details["benchmarks"]:
        return ["## Overlap with benchmarks", "Not looked for." if details is None else "There was no benchmark to compare with."]
    verb = "were dropped" if details["action"] == "drop" else "are still in"
    counts = ("questions", "overlapped", "training_questions", "training_questions_below_min_share")
    rows = [[name, *(of[count] for count in counts)] for name, of in details["benchmarks"].items()]
    head = ["benchmark", "its questions", "of them overlapped", "training questions that overlap", "that share less"]
    about = (
        f"Runs of {details['ngram']} words in common, at least {details['min_share']:.0%} of those of the question that has fewer, "
        f"or the same text. Training questions that overlap {verb}; those that share less stay."
    )
    examples = [_example(name, one) for name, of in details["benchmarks"].items() for one in of["examples"]]
    return ["## Overlap with benchmarks", about, _table(head, rows), *examples]


def _example(benchmark: str, one: dict[str, Any]) -> str:
    return (
        f"* `{one['training']}` and `{one['benchmark']}` of {benchmark}, {one['share_of_ngrams']:.0%} of the word runs in common:\n"
        f"  * training: {_inline(one['training_question'])}\n"
        f"  * benchmark: {_inline(one['benchmark_question'])}\n"
        f"  * in common: {_inline(one['in_common'])}"
    )


def _pass_rates(details: dict[str, Any] | None) -> list[str]:
    if details is None:
        return []
    verdicts = ", ".join(f"{count} {name}" for name, count in details["verdicts"].items())
    rows = [[rate, count] for rate, count in details["questions_by_pass_rate"].items()]
    return ["## Pass rates", f"{details['samples']} samples per question: {verdicts}.", _table(["pass rate", "questions"], rows)]


def _contradictions(details: dict[str, Any] | None) -> list[str]:
    if not details or not details["contradictory"]:
        return []
    examples = [
        f"* {_inline(one['question'])}\n" + "\n".join(f"  * `{name}`: {_inline(answer)}" for name, answer in one["answers"].items())
        for one in details["contradictory"]
    ]
    return ["## Same question, contradictory answers", "All were dropped; the first are", *examples]


def _inputs(inputs: dict[str, dict[str, Any]]) -> str:
    rows = []
    for key, of in inputs.items():
        origin = of["file"] if "file" in of else " ".join(str(of[name]) for name in ("name", "config", "revision") if of[name])
        rows.append([key, of["kind"], origin, of["rows"], f"`{of['sha256_of_rows']}`", f"`{of['sha256_of_file']}`" if "file" in of else ""])
    return _table(["source", "kind", "origin", "rows", "sha256 of rows", "sha256 of file"], rows)


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_inline(str(cell), code=False).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _inline(text: str, *, code: bool = True) -> str:
    """One line; as code, so that Markdown does not read LaTeX."""
    flat = " ".join(text.split())
    if not code:
        return flat
    fence = "``" if "`" in flat else "`"
    return f"{fence}{' ' if fence == '``' else ''}{flat}{' ' if fence == '``' else ''}{fence}"
