"""Weight transfer into vLLM from buckets (weights/bucket.py), through vLLM's own layer-wise reload."""

from dataclasses import dataclass

import torch
from vllm.distributed.weight_transfer.base import WeightTransferEngine, WeightTransferInitInfo, WeightTransferUpdateInfo
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from ib_lpo.weights.bucket import Bucket, unpack
from ib_lpo.weights.fingerprint import fingerprint


@dataclass
class BucketInit(WeightTransferInitInfo):
    """Nothing to set up: buckets arrive with the calls."""


@dataclass
class BucketUpdate(WeightTransferUpdateInfo):
    """One bucket."""

    bucket: Bucket


class BucketTransferEngine(WeightTransferEngine[BucketInit, BucketUpdate]):
    """Loads checkpoint-named tensors bucket by bucket; layers are processed as soon as they are whole."""

    init_info_cls, update_info_cls = BucketInit, BucketUpdate

    def init_transfer_engine(self, init_info: BucketInit) -> None:
        """Nothing to connect."""

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: BucketUpdate) -> None:
        self.model.load_weights((name, tensor.to(self.device)) for name, tensor in unpack(update_info.bucket))

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Nothing to release."""


def read_fingerprints(model: torch.nn.Module) -> dict[str, int]:
    """Fingerprints of a PSA model's live parameters, by checkpoint name."""
    return {name: fingerprint(tensor) for name, tensor in model.checkpoint_tensors()}
