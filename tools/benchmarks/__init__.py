"""The measures of tools/bench.py: variants that alternate in one process, compared by their medians."""
