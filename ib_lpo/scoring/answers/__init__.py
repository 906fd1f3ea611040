"""Whether two final answers say the same: spelling, numbers, units, choices, lists and intervals, equations; math-verify for the rest."""
