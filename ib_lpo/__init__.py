"""ib-lpo: latent-branching rollouts, information-bottleneck filtering and GRPO on Ray, vLLM and DeepSpeed."""

__version__ = "0.1.0"
