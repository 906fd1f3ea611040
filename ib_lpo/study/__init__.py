"""A study: variants x model seeds x run seeds of one or more tasks, by one command that can be killed and goes on.

config.py, load.py   STUDY.yaml
plan.py              its runs, each with a resolved manifest; settings.py: what makes two runs the same
layout.py            where everything lies; state.py: how far each run is
run.py               runs what is left, on workers/ (processes side by side, or Ray tasks)
record.py            a finished run boiled down to a small JSON file, which can be committed
measures.py, compare.py, intervals.py, curves.py, table.py, figure.py, report.py   what the results say
"""
