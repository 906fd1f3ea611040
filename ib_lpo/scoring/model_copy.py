"""The scorer's copy of the policy: receives published weights and reads their fingerprints back.

State: FROZEN (a reference model, never updated), EMPTY (waits for its first publish), UPDATING, READY. Only FROZEN and READY copies may
be scored with. There is no way from UPDATING to READY but a complete update, so a failed publish leaves the copy unusable.
The maps of z have no place in the z-free scoring model; they are kept beside it so that the receipt names everything that was sent.
"""

from enum import StrEnum

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ib_lpo.latent.injection import MAPS
from ib_lpo.weights.bucket import Bucket, Receipt, unpack
from ib_lpo.weights.fingerprint import fingerprint


class CopyState(StrEnum):
    """Whether the weights are those of one policy version."""

    FROZEN = "frozen"
    EMPTY = "empty"
    UPDATING = "updating"
    READY = "ready"


class ModelCopyError(RuntimeError):
    """A copy that must not be used or updated as asked."""


class ModelCopy:
    """A causal language model behind the Receiver protocol."""

    def __init__(self, model: PreTrainedModel, *, name: str, frozen: bool) -> None:
        self._model = model
        self._name = name
        self._state = CopyState.FROZEN if frozen else CopyState.EMPTY
        self._parameters = {key: value for key, value in model.state_dict(keep_vars=True).items() if isinstance(value, torch.nn.Parameter)}
        self._version: int | None = None
        self._received: dict[str, Tensor] = {}

    @property
    def model(self) -> PreTrainedModel:
        """The model. Raises ModelCopyError unless its weights are those of one version."""
        if self._state not in (CopyState.FROZEN, CopyState.READY):
            raise ModelCopyError(
                f"{self._name}: weights are {self._state}; publish the policy to it, and wait for its receipt, before scoring"
            )
        return self._model

    def begin_update(self, version: int) -> None:
        """Start receiving `version`. Raises ModelCopyError for a frozen copy. An unfinished update is given up."""
        if self._state is CopyState.FROZEN:
            raise ModelCopyError(f"{self._name}: a reference model is never updated; publish only to receivers of ib.scorer=policy")
        self._state, self._version, self._received = CopyState.UPDATING, version, {}

    @torch.no_grad()
    def load_bucket(self, bucket: Bucket) -> None:
        """Copy a bucket's tensors into the live parameters. Raises ModelCopyError for an unknown name, another shape or another dtype."""
        self._require_updating("load_bucket")
        for name, tensor in unpack(bucket):
            if name.startswith(MAPS):
                self._received[name] = tensor
                continue
            parameter = self._parameters.get(name)
            if parameter is None:
                raise ModelCopyError(f"{self._name}: it has no parameter {name}; publish Hugging Face checkpoint names of the same model")
            if (parameter.shape, parameter.dtype) != (tensor.shape, tensor.dtype):
                here, there = (f"{t.dtype} {tuple(t.shape)}" for t in (parameter, tensor))
                raise ModelCopyError(f"{self._name}: {name} is {here}, but {there} in the bucket; publish the same model in learner.dtype")
            parameter.copy_(tensor)
            self._received[name] = parameter

    def finish_update(self) -> Receipt:
        """Fingerprints of the live parameters, under the names received. Raises ModelCopyError when a parameter was not sent."""
        self._require_updating("finish_update")
        covered = {id(tensor) for tensor in self._received.values()}
        missing = [name for name, parameter in self._parameters.items() if id(parameter) not in covered]
        if missing:
            raise ModelCopyError(
                f"{self._name}: version {self._version} lacks {len(missing)} parameters, first {missing[0]}; publish again"
            )
        self._state = CopyState.READY
        return Receipt(self._name, self._version, {name: fingerprint(tensor) for name, tensor in self._received.items()})

    def _require_updating(self, what: str) -> None:
        if self._state is not CopyState.UPDATING:
            raise ModelCopyError(f"{self._name}: {what} while its weights are {self._state}; call begin_update first")
