"""A training run of two real ranks, as far as its checkpoint: what they do, and the directory that they leave."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, GenerationConfig

from ib_lpo.checkpoints.contents import fill
from ib_lpo.checkpoints.directory import write_checkpoint
from ib_lpo.checkpoints.learner_state import Part, write_index
from ib_lpo.latent.cvae import Cvae
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.store import CvaeShape, keep_latent, latent_digest, save_latent, untrained_maps
from ib_lpo.learner.batch import Planting, sequences
from ib_lpo.learner.packing import mini_batches, pack
from ib_lpo.learner.rank import LearnerRank
from ib_lpo.learner.zero import free_endpoint, whole_weights
from ib_lpo.manifest import Manifest
from tests.learner.tiny import forest, manifest, save_policy
from tests.system.tiny_policy import save_tokenizer

CHAT = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


def save_model(path: Path) -> Path:
    """The tiny policy with all that a model directory has."""
    save_policy(path)
    tokenizer = save_tokenizer(path)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(path)
    GenerationConfig(eos_token_id=[1, 5], max_new_tokens=9).save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.1}))
    return path


def fitted(directory: Path, settings: Manifest) -> Path:
    """A latent with networks and maps, as a fit would leave it."""
    policy = AutoConfig.from_pretrained(settings.model.path)
    torch.manual_seed(5)
    shape = CvaeShape(dim=settings.latent.dim, features=policy.hidden_size, hidden=16)
    maps = untrained_maps(settings, MapShape.of(policy, settings.latent))
    save_latent(directory, networks=Cvae(shape).state_dict(), shape=shape, manifest=settings, maps=maps, report={"elbo": -1.0})
    return directory


def steps(rank: int, world: int, settings: Manifest, directory: Path) -> tuple[Part, dict[str, Tensor]]:
    """Two training steps; what the rank saved to `directory`, and the live weights by the names that receivers know."""
    learner = LearnerRank(settings, rank, world, "cpu")
    learner.connect(*free_endpoint())
    for number in (1, 2):
        step(learner, rank, world, settings, number)
    part, found = learner.save(directory), live(learner)
    learner.close()
    return part, found


def step(learner: LearnerRank, rank: int, world: int, settings: Manifest, number: int) -> dict[str, float]:
    planting, budget = Planting.of(settings), settings.learner.max_tokens_per_micro_batch
    parts = mini_batches(sequences(forest(number)), settings.learner.mini_batches)
    packings = [pack(part, ranks=world, budget=budget, planting=planting) for part in parts]
    return learner.update([packing.shards[rank] for packing in packings], [packing.totals for packing in packings], number)


def live(learner: LearnerRank) -> dict[str, Tensor]:
    parts: dict[str, Any] = {"": learner._module.policy, "maps.": learner._module.maps}
    return {f"{prefix}{name}": t.clone() for prefix, part in parts.items() for name, t in whole_weights(part, 1 << 20, keep=True)}


def resumed(rank: int, world: int, settings: Manifest, directory: Path) -> tuple[int, dict[str, Tensor], dict[str, float]]:
    """A new rank loads: the step it is at, its weights, and the metrics of the third step."""
    learner = LearnerRank(settings, rank, world, "cpu")
    learner.connect(*free_endpoint())
    learner.check(directory)
    at, found = learner.load(directory), live(learner)
    metrics = step(learner, rank, world, settings, 3)
    learner.close()
    return at, found, metrics


class TrainedRun:
    """A run directory with a complete checkpoint of step 2, and the weights that were published then."""

    def __init__(self, groups: Any, folder: Path):
        model = save_model(folder / "model")
        latent = {"kind": "cvae", "offpolicy": "condition", "weights": str(fitted(folder / "latent", manifest(model, ranks=2)))}
        self.manifest, self.directory = manifest(model, ranks=2, latent=latent, psa_lr=4e-3), folder / "run"
        self._groups = groups
        latent = keep_latent(self.manifest, folder / "kept", latent_digest(self.manifest))
        state = {"step": 2, "latent": latent.digest}
        fills = lambda path: fill(path, self.manifest, self, latent)  # noqa: E731
        self.checkpoint = write_checkpoint(self.directory / "checkpoints", 2, fills, state, keep=1)

    def save(self, path: Path) -> None:
        """As the learner's group does."""
        found = self._groups.run(2, steps, self.manifest, path)
        write_index(path, [part for part, _ in found])
        self.published = found[0][1]
