"""PSA and entropies on vLLM's V1 model runner, which CPU uses (`worker_cls` = PsaCpuWorker)."""

import numpy as np
import torch
from vllm.model_executor.layers import utils as layer_utils
from vllm.v1.sample.sampler import Sampler
from vllm.v1.worker.cpu_worker import CPUWorker

from ib_lpo.rollout.plugin.entropy import columns, entropy, place
from ib_lpo.rollout.plugin.parallel import own_kv_heads
from ib_lpo.rollout.plugin.rows import FORK_KEY, Z_KEY, LatentRows


class EntropySampler(Sampler):
    """vLLM's sampler; for requests that ask for the reserved id, its log-prob column carries H_t.

    When all requests ask for that and nothing else, as a rollout's do, nobody asks for the rank of the sampled token either. It is left
    out (0), which pays for the entropies.
    """

    vocab: int  # = the reserved id

    def forward(self, logits, sampling_metadata, *args, **kwargs):
        asked = sampling_metadata.logprob_token_ids
        if not asked:
            return super().forward(logits, sampling_metadata, *args, **kwargs)
        self._entropies = entropy(logits[:, : self.vocab])  # before sampling, which edits the logits in place
        output = super().forward(logits, sampling_metadata, *args, **kwargs)
        if not self._alone(asked):
            output.logprobs_tensors = place(output.logprobs_tensors, self._entropies, self.vocab)
        return output

    def gather_specific_token_logprobs(self, logprobs, asked, sampled):
        if not self._alone(asked):
            return super().gather_specific_token_logprobs(logprobs, asked, sampled)
        return columns(logprobs.gather(-1, sampled[:, None]), self._entropies, sampled, self.vocab)

    def _alone(self, asked: dict[int, list[int]]) -> bool:
        return len(asked) == self._entropies.shape[0] and all(ids == [self.vocab] for ids in asked.values())


class PsaRunner:
    """Mixin over the V1 runner: keeps a LatentRows row per request in the batch and hands the table to the model."""

    def init_psa(self) -> None:
        spec = self.model.spec
        self.sampler.__class__ = EntropySampler
        self.sampler.vocab = spec.vocab
        self.latents: LatentRows | None = None
        if spec.maps is None:
            return
        sizes = {"heads": own_kv_heads(spec), "capacity": self.max_num_reqs, "max_tokens": self.max_num_tokens}
        self.latents = LatentRows(spec, self.model.maps, **sizes, device=self.device, dtype=self.model_config.dtype)
        self.row_of: dict[str, int] = {}  # request id -> row, 0 without z
        self.free_rows = list(range(self.max_num_reqs, 0, -1))

    def _model_forward(self, *args, **kwargs):
        if self.latents is not None:
            kwargs |= self._latent_inputs()
        return super()._model_forward(*args, **kwargs)

    def _latent_inputs(self) -> dict[str, torch.Tensor | bool]:
        """Nothing when no request in the batch has a z. The CPU runs eagerly, so what only slots need is left out without any."""
        rows, count = self._seat_requests(), self.input_batch.num_reqs
        if not rows.any():
            return {}
        scheduled = np.diff(self.query_start_loc.np[: count + 1])
        self.latents.assign_tokens(torch.from_numpy(np.repeat(rows, scheduled)))
        slots = self.latents.has_slots(rows, self.input_batch.num_computed_tokens_cpu[:count], scheduled)
        return self.latents.inputs() | {"psa_slots": slots}

    def _seat_requests(self) -> np.ndarray:
        """Row of each request of the batch, int64 [requests]."""
        ids = self.input_batch.req_ids[: self.input_batch.num_reqs]
        for gone in [r for r in self.row_of if r not in self.input_batch.req_id_to_index]:
            if row := self.row_of.pop(gone):
                self.latents.clear(row)
                self.free_rows.append(row)
        self.latents.follow(self.model.loads)
        for new in [r for r in ids if r not in self.row_of]:
            extra = self.requests[new].sampling_params.extra_args or {}
            self.row_of[new] = self.free_rows.pop() if Z_KEY in extra else 0
            if Z_KEY in extra:
                self.latents.put(self.row_of[new], extra[Z_KEY], extra[FORK_KEY])
        return np.array([self.row_of[r] for r in ids], dtype=np.int64)

    # A seeded request in a partial prefill: the runner rewinds its generator by offset, which CPU generators do not have.
    # Their state is put back after sampling instead, which means the same.

    def _partial_generators(self) -> dict[int, torch.Generator]:
        generators = self.input_batch.generators
        if self.device.type != "cpu" or not generators:
            return {}
        partial = np.nonzero(self.discard_request_mask.np[: self.input_batch.num_reqs])[0]
        return {int(i): generators[int(i)] for i in partial if int(i) in generators}

    def _sample(self, *args, **kwargs):
        states = {i: g.get_state() for i, g in self._partial_generators().items()}
        output = super()._sample(*args, **kwargs)
        for i, state in states.items():
            self.input_batch.generators[i].set_state(state)
        return output

    def _bookkeeping_sync(self, *args, **kwargs):
        partial = self._partial_generators()
        for i in partial:
            del self.input_batch.generators[i]
        try:
            return super()._bookkeeping_sync(*args, **kwargs)
        finally:
            self.input_batch.generators.update(partial)


def _plain_linear(layer: torch.nn.Module, remove_weight: bool) -> None:
    """Compute with the layer's own weight, instead of a packed copy that vLLM on CPU would keep in its place.

    What a fingerprint reads is then what the model computes with, and a weight update leaves no old copy behind.
    """
    layer.cpu_linear = torch.nn.functional.linear


class PsaCpuWorker(CPUWorker):
    """vLLM's CPU worker with the PSA runner."""

    def load_model(self, *args, **kwargs) -> None:
        layer_utils.dispatch_cpu_unquantized_gemm = _plain_linear
        super().load_model(*args, **kwargs)
        if not self.use_v2_model_runner:
            runner = self.model_runner
            runner.__class__ = type("PsaCPUModelRunner", (PsaRunner, type(runner)), {})
            runner.init_psa()
