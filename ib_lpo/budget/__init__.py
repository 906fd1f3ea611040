"""When training ends: after `steps`, or earlier by `budget`."""
