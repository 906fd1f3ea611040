"""A reward whose module cannot be imported."""

raise RuntimeError("this module is broken")
