"""An evaluation's directory: what it was made from, so that it is gone on from as the same evaluation alone.

`manifest.yaml` says how was sampled and graded, `weights.json` with which weights: paths say nothing of what lies there.
"""

import json
from pathlib import Path

from ib_lpo.checkpoints.contents import LEARNER
from ib_lpo.checkpoints.learner_state import INDEX
from ib_lpo.errors import UserError
from ib_lpo.latent.identity import encoder_identity
from ib_lpo.latent.store import latent_digest
from ib_lpo.manifest import Manifest, dump, load_recorded
from ib_lpo.policy.identity import files_digest, weights_digest
from ib_lpo.previous import require_same, set_aside
from ib_lpo.tracking import replace_text

_DECIDES = {  # what is sampled and how it is graded: sections, and all that counts of some
    "seed": None,
    "model": None,
    "latent": None,
    "evaluation": None,
    "data": {"template", "chat", "chat_template_kwargs", "bad_answers"},
    "rollout": {"max_prompt_tokens", "max_response_tokens", "stop_tokens"},
    "learner": {"dtype"},
    "verifier": {"reward", "thinking", "deadline_s", "memory_mb"},
    "cluster": {"device"},
}
_ONLY_SHOWN = {"every", "ks", "resamples", "published_model"}  # of `evaluation`


def weights_of(manifest: Manifest) -> dict[str, str | None]:
    """Digests of all weights that samples and their measures come from, by the key that names them."""
    config, model = manifest.evaluation, manifest.model
    embeds = config.diversity and config.embedding is not None
    return {
        "model.path": weights_digest(model),
        "evaluation.checkpoint": config.checkpoint and files_digest([config.checkpoint / LEARNER / INDEX]),  # names all fingerprints
        "evaluation.embedding": encoder_identity(config.embedding, model) if embeds else None,
        "latent.weights": latent_digest(manifest),
    }


def open_directory(manifest: Manifest, weights: dict[str, str | None], *, resume: bool) -> None:
    """The evaluation's directory. Raises UserError when what would be gone on from is another evaluation."""
    directory = manifest.evaluation_dir
    recorded, digests = directory / "manifest.yaml", directory / "weights.json"
    if not resume:
        set_aside(directory)
    elif recorded.exists():
        require_same(manifest, recorded, may_change=_may_change(manifest, load_recorded(recorded)))
        _require_weights(weights, digests)
    directory.mkdir(parents=True, exist_ok=True)
    replace_text(digests, json.dumps(weights, indent=1))
    replace_text(recorded, dump(manifest))


def _require_weights(weights: dict[str, str | None], recorded: Path) -> None:
    if not recorded.exists():
        raise UserError(f"{recorded}: not there, so nothing says which weights were sampled; start over with --fresh")
    known = json.loads(recorded.read_text())
    if changed := [key for key, digest in weights.items() if known.get(key) != digest]:
        raise UserError(
            f"{' and '.join(changed)}: other weights than those sampled so far ({recorded}); put them back, or start over with --fresh"
        )


def _may_change(manifest: Manifest, before: Manifest) -> set[str]:
    """Dotted keys that decide neither what is sampled nor how it is graded; benchmarks may come and go."""
    config = manifest.evaluation
    found = {key for key in Manifest.model_fields if key not in _DECIDES}
    found |= {f"{s}.{key}" for s, kept in _DECIDES.items() if kept for key in type(getattr(manifest, s)).model_fields if key not in kept}
    found |= {f"evaluation.{key}" for key in _ONLY_SHOWN}
    found |= {f"evaluation.benchmarks.{name}.{key}" for name in config.benchmarks for key in ("published", "ks")}
    found |= {f"evaluation.benchmarks.{name}" for name in config.benchmarks.keys() ^ before.evaluation.benchmarks.keys()}
    return found | ({"latent"} if config.latents == "none" else set())
