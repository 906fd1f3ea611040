"""The measures of tools/bench_rollout.py: variants that alternate in one process, compared by their medians."""
