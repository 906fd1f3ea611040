"""Kills of a real run's processes: who, when, and whether the run's record is whole afterwards."""
