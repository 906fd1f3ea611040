"""The scorer's copy of the policy: takes published weights and reads their fingerprints back.

State: FROZEN (a reference model, never updated), EMPTY (waits for its first commit), READY, UNFIT (a commit failed; there is no way back).
Only FROZEN and READY copies may be scored with. `stage` changes nothing live; a version that does not fit is refused there.
The maps of z have no place in the z-free scoring model; they are kept beside it so that the receipt names everything that was sent.
"""

import time
from enum import StrEnum

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ib_lpo.latent.injection import MAPS
from ib_lpo.weights.config import WeightsConfig
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.inbox import Inbox
from ib_lpo.weights.parcel import Parcel, Receipt


class CopyState(StrEnum):
    """Whether the weights are those of one policy version."""

    FROZEN = "frozen"
    EMPTY = "empty"
    READY = "ready"
    UNFIT = "unfit"


class ModelCopyError(RuntimeError):
    """A copy that must not be used or updated as asked."""


class ModelCopy:
    """A causal language model behind the Receiver protocol."""

    def __init__(self, model: PreTrainedModel, *, name: str, frozen: bool, config: WeightsConfig) -> None:
        self._model = model
        self._name = name
        self._state = CopyState.FROZEN if frozen else CopyState.EMPTY
        self._parameters = dict(model.named_parameters())
        self._maps: dict[str, Tensor] = {}
        self._inbox = Inbox(name, self._parameters, config=config, beside=MAPS)

    @property
    def model(self) -> PreTrainedModel:
        """The model. Raises ModelCopyError unless its weights are those of one version."""
        if self._state not in (CopyState.FROZEN, CopyState.READY):
            raise ModelCopyError(
                f"{self._name}: weights are {self._state}; publish the policy to it, and wait for its receipt, before scoring"
            )
        return self._model

    def stage(self, parcel: Parcel) -> None:
        """Make sure that all of `parcel` can be read here. Raises ModelCopyError when frozen or unfit, TransferError for the parcel."""
        if self._state is CopyState.FROZEN:
            raise ModelCopyError(f"{self._name}: a reference model is never updated; publish only to receivers of ib.scorer=policy")
        if self._state is CopyState.UNFIT:
            raise ModelCopyError(f"{self._name}: a commit failed here, so it takes no more weights; replace it")
        self._inbox.stage(parcel)

    def holds(self, version: int) -> bool:
        """Whether `version` is staged."""
        return self._inbox.version == version

    @torch.no_grad()
    def commit(self, version: int) -> Receipt:
        """Score with the staged version from now on; the receipt is read back from the live parameters.

        Raises TransferError when it is not `version` that is staged. A failure after that leaves the copy unfit.
        """
        began, staged = time.monotonic(), self._inbox.tensors(version)
        self._state, self._maps = CopyState.UNFIT, {}
        for name, tensor in staged:
            if name in self._parameters:
                self._parameters[name].copy_(tensor)
            else:
                self._maps[name] = tensor.clone()
        self._inbox.confirm()
        fingerprints = {name: fingerprint(tensor) for name, tensor in (self._parameters | self._maps).items()}
        self._state = CopyState.READY
        return Receipt(self._name, version, fingerprints, time.monotonic() - began)

    def close(self) -> None:
        """Let go of what is staged."""
        self._inbox.close()
