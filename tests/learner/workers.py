"""Workers of the learner tests; they live in actors, so they are importable from here."""

from types import SimpleNamespace

import torch
from torch import nn

from ib_lpo.learner import step, zero
from ib_lpo.learner.config import KlConfig, LearnerConfig
from ib_lpo.learner.loss_config import GrpoLoss
from ib_lpo.learner.measure import Measured
from ib_lpo.learner.packing import Totals
from ib_lpo.learner.tally import Tally
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.inbox import Inbox
from ib_lpo.weights.parcel import Parcel, Receipt
from ib_lpo.weights.place import Place, here


class Holder:
    """A receiver of weights; `spoil` makes it report a changed tensor at the next publish."""

    def __init__(self, name: str):
        self._name, self._tensors, self._spoiled = name, {}, None
        self._inbox = Inbox(name, {}, config=WeightsConfig(), beside="")

    def place(self) -> Place:
        return here("cpu")

    def stage(self, parcel: Parcel) -> None:
        self._inbox.stage(parcel)

    def commit(self, version: int) -> Receipt:
        self._tensors = {name: tensor.clone() for name, tensor in self._inbox.tensors(version)}
        self._inbox.confirm()
        if self._spoiled:
            self._tensors[self._spoiled].view(-1)[0] += 1
        return Receipt(self._name, version, {name: fingerprint(t) for name, t in self._tensors.items()})

    def spoil(self, name: str | None) -> None:
        self._spoiled = name

    def tensors(self) -> dict[str, torch.Tensor]:
        return self._tensors


class Branches(nn.Module):
    """A stand-in policy of two parts, the second of which takes part only while `both` is set."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.maps = nn.Linear(4, 4), nn.Linear(4, 4), None
        self.both = True

    def forward(self, x):
        """x float [1, 4]. Stands for log-probs and entropies, [4]."""
        x = (self.first(x) + self.second(x)) if self.both else self.first(x)
        return x.flatten(), x.flatten()


class StaleGradientProbe:
    """Two steps of learner.step over Branches under ZeRO-3, the second of which does not use `second`."""

    def run(self) -> list[dict[str, float]]:
        """Largest change of each parameter in each step."""
        zero.join_group(*zero.free_endpoint(), rank=0, world=1, deadline_s=60)
        torch.manual_seed(0)
        module = Branches()
        config = LearnerConfig(lr=0.1, betas=(0.0, 0.0), grad_clip=100.0)
        engine = zero.build_engine(module, config, torch.float32, "cpu")
        moved = []
        for module.both in (True, False):
            before = self._weights(module)
            self._step(engine)
            after = self._weights(module)
            moved.append({name: float((after[name] - before[name]).abs().max()) for name in after})
        return moved

    def _weights(self, module) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in zero.whole_weights(module, 1 << 20, keep=True)}

    def _step(self, engine) -> None:
        objective = step.Objective(config=GrpoLoss(), kl=KlConfig(), latent_is="none", self_reward_weight=0.0, max_response_tokens=4)
        batch = SimpleNamespace(
            trained=torch.ones(1, 4),
            behaviour=torch.zeros(4),
            advantages=torch.tensor([1.0, 1.0, -1.0, 1.0]),
            sequence=torch.zeros(4, dtype=torch.int64),
        )
        logprobs, entropy = (values.detach() for values in engine(batch.trained))
        measured = Measured(batch, old=logprobs, sampled=logprobs, entropy=entropy, reference=None)
        tally = Tally(sums=objective.sums, device="cpu")
        totals = Totals(tokens=4, sequences=1, signal=True)
        step.take_step(engine, [measured], [torch.ones(4, dtype=torch.bool)], objective, totals=totals, world=1, tally=tally)
