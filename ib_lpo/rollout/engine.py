"""RolloutEngine: one vLLM engine with PSA, exact entropies and versioned weights.

Invariants
* Nothing is generated before the first commit: the engine starts with meaningless weights. A commit that fails leaves it unfit for good.
* `stage` changes nothing live. `commit` loads the staged weights in place and empties the prefix cache and the slot handles together, so
  no request reads a KV block of an older version or of another z. Requests that are running go on: their KV blocks are freed and computed
  anew under the new weights, their tokens so far stay, and their spans say which version made which token.
* `advance` is a pure function of the engine's state and its argument: an engine that gets the same calls gives the same tokens.

rollout/engines.py drives it: `advance` adds requests, runs until one finishes or `rollout.max_iterations_per_call` iterations are over,
and returns everything finished.
"""

import os
import time
import warnings
from functools import partial

import numpy as np

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import DataFailure
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_tokenizer
from ib_lpo.policy.stop_tokens import stop_tokens
from ib_lpo.rollout.config import RESERVED_ROWS
from ib_lpo.rollout.handles import HandlesExhausted, HandleTable
from ib_lpo.rollout.limits import engine_tokens
from ib_lpo.rollout.plugin import ARCHITECTURES, VLLM_VERSION, register
from ib_lpo.rollout.plugin.rows import FORK_KEY, Z_KEY
from ib_lpo.rollout.plugin.spec import PluginSpec
from ib_lpo.rollout.request import Generation, GenerationRequest, VersionSpan
from ib_lpo.tree import Status
from ib_lpo.weights.dtype import copy_dtype
from ib_lpo.weights.inbox import Inbox
from ib_lpo.weights.parcel import Parcel, Receipt
from ib_lpo.weights.place import Place, here

CPU_ENV = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1"}
_EXCLUDED = -100.0  # vLLM's lowest logit bias
ENV = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}


def engine_env(device: str) -> dict[str, str]:
    """Environment a RolloutEngine's process needs before it imports vLLM."""
    return ENV | (CPU_ENV if device == "cpu" else {})


class RolloutEngine:
    """Runs inside one worker; `index` is its number in the fleet."""

    def __init__(self, manifest: Manifest, index: int, device: str, name: str | None = None):
        """`name`: its worker's, by default that of the first engine of this number."""
        os.environ.update(engine_env(device))
        self._name = f"engine-{index}" if name is None else name
        self._rollout = manifest.rollout
        self._max_tokens = engine_tokens(manifest)
        config = load_config(manifest.model)
        self._spec = PluginSpec.of(config, manifest.latent)
        self._stop_ids = list(stop_tokens(manifest.model, manifest.rollout.stop_tokens, load_tokenizer(manifest.model)))
        self._handles = HandleTable(first_id=self._spec.first_digit_id, base=RESERVED_ROWS - 1, slots=self._spec.k_slots)
        self._engine = _build(manifest, config, self._spec, device)
        self._device = device
        self._inbox = Inbox(self._name, self._on_model("live_tensors"), config=manifest.weights)
        self._version: int | None = None
        self._unfit = False
        self._running: dict[str, GenerationRequest] = {}  # by id
        self._latents: dict[str, bytes] = {}  # of those that have one
        self.cache_resets = 0

    def ready(self) -> bool:
        """True once construction is done; the first call to wait for."""
        return True

    def advance(self, requests: list[GenerationRequest]) -> list[Generation]:
        """Add `requests`, run until something finishes, return all that finished.

        Returns an empty list when nothing is left to run or after `rollout.max_iterations_per_call` iterations. Raises
        RuntimeError without published weights, DataFailure for a request that cannot be run as it is.
        """
        if self._version is None:
            why = "after a commit that failed; replace it" if self._unfit else "without published weights; publish to it first"
            raise RuntimeError(f"{self._name}: asked to generate {why}")
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
        extra: dict[str, object] = {}
        if request.latent is not None:
            z = np.ascontiguousarray(request.latent, dtype=np.float32).tobytes()
            extra = {Z_KEY: z, FORK_KEY: len(ids) - 1}
            ids = [*ids[:-1], *self._placeholders(request, z), ids[-1]]
        limit = self._max_tokens
        if len(ids) + request.max_new_tokens > limit:
            raise DataFailure(f"{self._name}: {request.id}: {len(ids)} + {request.max_new_tokens} new tokens exceed the engine's {limit}")
        params = SamplingParams(
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=0 if request.top_k is None else request.top_k,
            seed=request.seed,
            stop_token_ids=self._stop_ids,
            ignore_eos=True,  # which would add the ends that generation_config.json names
            logprob_token_ids=[self._spec.entropy_id, *request.excluded],
            logit_bias={token: _EXCLUDED for token in request.excluded} or None,
            detokenize=False,
            extra_args=extra,
        )
        self._engine.add_request(request.id, {"prompt_token_ids": ids}, params)
        self._running[request.id] = request
        if request.latent is not None:
            self._latents[request.id] = z

    def _placeholders(self, request: GenerationRequest, z: bytes) -> list[int]:
        if self._spec.maps is None or len(z) != 4 * self._spec.maps.dim or request.prefix_ids.size < 2:
            raise DataFailure(f"{self._name}: {request.id}: a latent of {len(z) // 4} numbers cannot be injected into this prefix or model")
        try:
            return self._handles.placeholders(z)
        except HandlesExhausted:
            self._reset_cache()
            return self._handles.placeholders(z)

    def abandon(self) -> None:
        """Drop all requests; nobody waits for them any more."""
        self._engine.abort_request(list(self._running))
        self._running.clear()
        self._latents.clear()
        self._reset_cache()

    def forget(self) -> None:
        """Empty the prefix cache; running requests are computed anew."""
        self._reset_cache()

    def _reset_cache(self) -> None:
        """Running requests lose their KV blocks and keep the handles that their placeholders spell."""
        if not self._engine.reset_prefix_cache(reset_running_requests=True):
            raise RuntimeError(f"{self._name}: vLLM refused to reset the prefix cache, so stale KV blocks could be read; replace it")
        self._handles.reset(keep=set(self._latents.values()))
        self.cache_resets += 1

    def _collect(self, output) -> Generation:
        request = self._running.pop(output.request_id)
        self._latents.pop(output.request_id, None)
        completion = output.outputs[0]
        entropy_id = self._spec.entropy_id
        tokens = np.asarray(completion.token_ids, dtype=np.int32)
        logprobs = np.array([c[t].logprob for t, c in zip(completion.token_ids, completion.logprobs, strict=True)], dtype=np.float32)
        if request.excluded:
            logprobs -= _gained_by_exclusion(completion.logprobs, request)
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

    def place(self) -> Place:
        """Where it is; decides how weights reach it."""
        return here(self._device, self._name)

    def stage(self, parcel: Parcel) -> None:
        """Make sure that all of `parcel` can be read here; goes on serving. Raises TransferError, RuntimeError when unfit."""
        if self._unfit:
            raise RuntimeError(f"{self._name}: a commit failed here, so it takes no more weights; replace it")
        self._inbox.stage(parcel)

    def commit(self, version: int) -> Receipt:
        """Serve the staged version from now on; the receipt is read back from the live parameters.

        Raises TransferError when it is not `version` that is staged. A failure after that leaves the engine unfit.
        """
        began, staged = time.monotonic(), self._inbox.tensors(version)
        self._version, self._unfit = None, True
        self._engine.collective_rpc("synchronize_device")
        self._on_model("load_staged", staged)
        self._inbox.confirm()
        self._reset_cache()
        self._engine.set_weight_version(str(version))
        receipt = Receipt(self._name, version, self._on_model("read_fingerprints"), time.monotonic() - began)
        self._version, self._unfit = version, False
        return receipt

    def _on_model(self, function: str, *args):
        """What a function of plugin/transfer.py makes of the model."""
        from ib_lpo.rollout.plugin import transfer

        return self._engine.apply_model(partial(getattr(transfer, function), *args))[0]

    def close(self) -> None:
        """Release the engine; the worker serves nothing afterwards."""
        self._version = None
        self._inbox.close()
        self._engine.engine_core.shutdown()


def _gained_by_exclusion(columns: list[dict], request: GenerationRequest) -> np.ndarray:
    """What log-probs gain by the exclusion of tokens: log(1 + what these would weigh, if the others weigh 1), nats.
    `columns`: per position, of a distribution in which excluded tokens have _EXCLUDED added to their logits; float32."""
    back = -_EXCLUDED / request.temperature
    weights = [sum(np.exp(at[token].logprob + back) for token in request.excluded) for at in columns]
    return np.log1p(np.asarray(weights, dtype=np.float64)).astype(np.float32)


def _build(manifest: Manifest, config, spec: PluginSpec, device: str):
    import vllm

    if not vllm.__version__.startswith(VLLM_VERSION):
        raise UserError(f"vllm {vllm.__version__}: the PSA plugin hooks into vLLM {VLLM_VERSION}; install that version (`ib-lpo doctor`)")
    warnings.filterwarnings("ignore", message=r"`torch\.distributed\.\w+` is deprecated", category=FutureWarning)
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
        skip_tokenizer_init=True,
        dtype=copy_dtype(manifest, device),
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
