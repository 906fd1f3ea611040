"""The environment of every test, set before anything heavy is imported. What the caller has set stays."""

import os
from importlib.metadata import PackageNotFoundError, version

_EVERYWHERE = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "WANDB_MODE": "offline",
}
_ON_CPU = {"DS_ACCELERATOR": "cpu", "TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "CUDA_VISIBLE_DEVICES": ""}

for _name, _value in (_EVERYWHERE | _ON_CPU).items():
    os.environ.setdefault(_name, _value)

try:
    version("vllm-cpu")
except PackageNotFoundError:
    raise RuntimeError("the tests need the CPU environment, also on a machine with a GPU: make test DEVICE=cpu") from None

from hypothesis import settings  # noqa: E402 - after the environment

settings.register_profile("any machine", deadline=None)  # a busy machine takes as long as it takes
settings.load_profile("any machine")
