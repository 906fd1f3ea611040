"""Whether two final answers say the same: spelling, numbers, units, choices, lists and intervals, algebra, and sympy for the rest."""
