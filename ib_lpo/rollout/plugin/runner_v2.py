"""PSA and entropies on vLLM's V2 model runner, the default on GPU: the model hands out its own ModelState."""

import numpy as np
import torch
from vllm.v1.worker.gpu.model_states.default import DefaultModelState
from vllm.v1.worker.gpu.sample.sampler import Sampler

from ib_lpo.rollout.plugin.entropy import entropy, place
from ib_lpo.rollout.plugin.parallel import own_kv_heads
from ib_lpo.rollout.plugin.rows import FORK_KEY, Z_KEY, LatentRows


class EntropySamplerV2(Sampler):
    """vLLM's V2 sampler; for requests that ask for the reserved id, its log-prob column carries H_t."""

    vocab: int  # = the reserved id

    def __call__(self, logits, input_batch):
        if not self.logprob_token_ids_state.max_num_token_ids(input_batch.idx_mapping_np):
            return super().__call__(logits, input_batch)
        entropies = entropy(logits[:, : self.vocab])
        output = super().__call__(logits, input_batch)
        output.logprobs_tensors = place(output.logprobs_tensors, entropies, self.vocab)
        return output


class PsaModelState(DefaultModelState):
    """Row i + 1 of the latent table belongs to the runner's request slot i; row 0 means no z."""

    def __init__(self, vllm_config, model, encoder_cache, device):
        super().__init__(vllm_config, model, encoder_cache, device)
        self.latents: LatentRows | None = None
        if model.spec.maps is not None:
            sizes = {"heads": own_kv_heads(model.spec), "capacity": self.max_num_reqs, "max_tokens": self.max_num_tokens}
            self.latents = LatentRows(model.spec, model.maps, **sizes, device=device, dtype=self.dtype)

    def add_request(self, req_index, new_req_data) -> None:
        super().add_request(req_index, new_req_data)
        if self.latents is None:
            return
        params = new_req_data.sampling_params
        extra = (params.extra_args if params is not None else None) or {}
        if Z_KEY in extra:
            self.latents.put(req_index + 1, extra[Z_KEY], extra[FORK_KEY])
        else:
            self.latents.clear(req_index + 1)

    def prepare_inputs(self, input_batch, req_states):
        inputs = super().prepare_inputs(input_batch, req_states)
        if self.latents is None:
            return inputs
        self.latents.follow(self.model.loads)
        rows = np.repeat(input_batch.idx_mapping_np.astype(np.int64) + 1, input_batch.num_scheduled_tokens)
        self.latents.assign_tokens(torch.from_numpy(rows))
        return inputs | self._psa_inputs(input_batch.num_tokens_after_padding)

    def prepare_dummy_inputs(self, num_reqs, num_tokens):
        inputs = super().prepare_dummy_inputs(num_reqs, num_tokens)
        return inputs if self.latents is None else inputs | self._psa_inputs(num_tokens)

    def _psa_inputs(self, num_tokens: int) -> dict[str, torch.Tensor]:
        inputs = self.latents.inputs()
        return inputs | {"psa_rows": inputs["psa_rows"][:num_tokens]}

    def custom_sampler(self, sampler):
        sampler.__class__ = EntropySamplerV2
        sampler.vocab = self.model.spec.vocab
        return sampler, None
