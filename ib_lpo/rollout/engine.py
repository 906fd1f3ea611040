"""RolloutEngine: one vLLM engine with PSA, exact entropies and versioned weights.

Invariants
* Nothing is generated before the first publish: the engine starts with meaningless weights, and only `finish_update` makes it fit.
* A publish resets the prefix cache and the slot handles together, so no request reads a KV block of an older version or of another z.
* `advance` is a pure function of the engine's state and its argument: an engine that gets the same calls gives the same tokens.

The BranchScheduler drives it: `advance` adds requests, runs until at least one finishes, and returns everything finished.
"""

import os
import warnings

import numpy as np

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.policy.dtype import compute_dtype
from ib_lpo.policy.load import load_config
from ib_lpo.policy.stop_tokens import end_token_ids
from ib_lpo.rollout.config import RESERVED_ROWS
from ib_lpo.rollout.handles import HandlesExhausted, HandleTable
from ib_lpo.rollout.limits import engine_tokens
from ib_lpo.rollout.plugin import ARCHITECTURES, TRANSFER_BACKEND, VLLM_VERSION, register
from ib_lpo.rollout.plugin.rows import FORK_KEY, Z_KEY
from ib_lpo.rollout.plugin.spec import PluginSpec
from ib_lpo.rollout.request import Generation, GenerationRequest, VersionSpan
from ib_lpo.tree import Status
from ib_lpo.weights.bucket import Bucket, Receipt

CPU_ENV = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1"}
ENV = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}


def engine_env(device: str) -> dict[str, str]:
    """Environment a RolloutEngine's process needs before it imports vLLM."""
    return ENV | (CPU_ENV if device == "cpu" else {})


class RolloutEngine:
    """Runs inside one worker; `index` is its number in the fleet."""

    def __init__(self, manifest: Manifest, index: int, device: str):
        os.environ.update(engine_env(device))
        self._name = f"engine-{index}"
        self._rollout = manifest.rollout
        self._max_tokens = engine_tokens(manifest)
        config = load_config(manifest.model)
        self._spec = PluginSpec.of(config, manifest.latent)
        self._stop_ids = end_token_ids(manifest.model)
        self._handles = HandleTable(first_id=self._spec.first_digit_id, base=RESERVED_ROWS - 1, slots=self._spec.k_slots)
        self._engine = _build(manifest, config, self._spec, device)
        self._version: int | None = None
        self._updating: int | None = None
        self.cache_resets = 0

    def ready(self) -> bool:
        """True once construction is done; the first call to wait for."""
        return True

    def advance(self, requests: list[GenerationRequest]) -> list[Generation]:
        """Add `requests`, run until something finishes, return all that finished.

        Returns an empty list when nothing is left to run or after `rollout.max_iterations_per_call` iterations. Raises
        RuntimeError before the first publish or during one, ValueError for a request that cannot be run as it is.
        """
        if self._version is None or self._updating is not None:
            raise RuntimeError(f"{self._name}: asked to generate without published weights; publish to it first")
        for request in requests:
            self._add(request)
        for _ in range(self._rollout.max_iterations_per_call):
            if not self._engine.has_unfinished_requests():
                return []
            if finished := [output for output in self._engine.step() if output.finished]:
                return [self._collect(output) for output in finished]
        return []

    def _add(self, request: GenerationRequest) -> None:
        from vllm import SamplingParams

        ids = request.prefix_ids.tolist()
        extra = {}
        if request.latent is not None:
            z = np.ascontiguousarray(request.latent, dtype=np.float32).tobytes()
            extra = {Z_KEY: z, FORK_KEY: len(ids) - 1}
            ids = [*ids[:-1], *self._placeholders(request, z), ids[-1]]
        limit = self._max_tokens
        if len(ids) + request.max_new_tokens > limit:
            raise ValueError(f"{self._name}: {request.id}: {len(ids)} + {request.max_new_tokens} new tokens exceed the engine's {limit}")
        params = SamplingParams(
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=0 if request.top_k is None else request.top_k,
            seed=request.seed,
            stop_token_ids=self._stop_ids,
            logprob_token_ids=[self._spec.entropy_id],
            detokenize=False,
            extra_args=extra,
        )
        self._engine.add_request(request.id, {"prompt_token_ids": ids}, params)

    def _placeholders(self, request: GenerationRequest, z: bytes) -> list[int]:
        if self._spec.maps is None or len(z) != 4 * self._spec.maps.dim or request.prefix_ids.size < 2:
            raise ValueError(f"{self._name}: {request.id}: a latent of {len(z) // 4} numbers cannot be injected into this prefix or model")
        try:
            return self._handles.placeholders(z)
        except HandlesExhausted:
            if self._engine.has_unfinished_requests():
                raise
            self._reset_cache()
            return self._handles.placeholders(z)

    def forget(self) -> None:
        """Empty the prefix cache between rollouts."""
        self._reset_cache()

    def _reset_cache(self) -> None:
        if not self._engine.reset_prefix_cache():
            raise RuntimeError(f"{self._name}: vLLM refused to reset the prefix cache, so stale KV blocks could be read; restart the run")
        self._handles.reset()
        self.cache_resets += 1

    def _collect(self, output) -> Generation:
        completion = output.outputs[0]
        entropy_id = self._spec.entropy_id
        tokens = np.asarray(completion.token_ids, dtype=np.int32)
        logprobs = np.array([c[t].logprob for t, c in zip(completion.token_ids, completion.logprobs, strict=True)], dtype=np.float32)
        entropies = np.array([c[entropy_id].logprob for c in completion.logprobs], dtype=np.float32)
        if not (np.isfinite(logprobs).all() and np.isfinite(entropies).all()):
            raise RuntimeError(
                f"{self._name}: {output.request_id}: non-finite log-prob or entropy; the weights of version {self._version} are broken"
            )
        return Generation(
            id=output.request_id,
            token_ids=tokens,
            logprobs=logprobs,
            entropies=entropies,
            status=Status.FINISHED if completion.finish_reason == "stop" else Status.TRUNCATED,
            spans=tuple(VersionSpan(version=int(s.version), start=s.start, end=s.end) for s in completion.weight_versions),
            cached_tokens=output.num_cached_tokens or 0,
        )

    def begin_update(self, version: int) -> None:
        """Stop serving until `finish_update`. Raises RuntimeError when requests are running or an update is under way."""
        if self._updating is not None or self._engine.has_unfinished_requests():
            raise RuntimeError(f"{self._name}: busy; it takes version {version} only between rollouts and one at a time")
        self._updating = version
        self._engine.collective_rpc("start_weight_update")

    def load_bucket(self, bucket: Bucket) -> None:
        self._engine.collective_rpc("update_weights", args=({"bucket": bucket},))

    def finish_update(self) -> Receipt:
        """Serve the new version. The prefix cache is empty afterwards; the receipt is read back from the live parameters."""
        from ib_lpo.rollout.plugin.transfer import read_fingerprints

        self._engine.collective_rpc("finish_weight_update")
        self._reset_cache()
        self._version, self._updating = self._updating, None
        self._engine.set_weight_version(str(self._version))
        return Receipt(self._name, self._version, self._engine.apply_model(read_fingerprints)[0])

    def close(self) -> None:
        """Release the engine; the worker serves nothing afterwards."""
        self._version = None
        self._engine.engine_core.shutdown()


def _build(manifest: Manifest, config, spec: PluginSpec, device: str):
    import vllm

    if not vllm.__version__.startswith(VLLM_VERSION):
        raise UserError(f"vllm {vllm.__version__}: the PSA plugin hooks into vLLM {VLLM_VERSION}; install that version (`ib-lpo doctor`)")
    warnings.filterwarnings("ignore", message=r"`torch\.distributed\.\w+` is deprecated", category=FutureWarning)
    from vllm.config import WeightTransferConfig
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    register()
    rollout, cpu = manifest.rollout, device == "cpu"
    args = EngineArgs(
        model=manifest.model.path,
        revision=manifest.model.revision,
        trust_remote_code=manifest.model.trust_remote_code,
        hf_overrides=spec.overrides(ARCHITECTURES[config.model_type]),
        load_format="dummy",
        weight_transfer_config=WeightTransferConfig(backend=TRANSFER_BACKEND),
        skip_tokenizer_init=True,
        dtype=compute_dtype(manifest.learner, device),
        logprobs_mode="processed_logprobs",
        max_model_len=engine_tokens(manifest),
        max_num_seqs=rollout.max_running,
        max_num_batched_tokens=rollout.max_batched_tokens,
        block_size=rollout.block_size,
        enable_prefix_caching=True,
        enforce_eager=cpu or rollout.enforce_eager,
        disable_log_stats=True,
        **(_cpu_args(rollout.kv_cache_gb) if cpu else {"gpu_memory_utilization": rollout.gpu_memory_fraction}),
    )
    engine = LLMEngine.from_engine_args(args)
    if not cpu and not engine.vllm_config.use_v2_model_runner:
        raise UserError("vLLM chose its V1 model runner, which has no PSA on CUDA; install Triton and unset VLLM_USE_V2_MODEL_RUNNER")
    return engine


def _cpu_args(kv_cache_gb: float) -> dict:
    return {
        "worker_cls": "ib_lpo.rollout.plugin.runner_v1.PsaCpuWorker",
        "kv_cache_memory_bytes": int(kv_cache_gb * 2**30),
        "async_scheduling": False,
    }
