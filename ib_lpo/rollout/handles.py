"""Slot handles: how latents and the prefix cache get on.

A branch with latent z is sent to the engine as `prefix[:-1] + k placeholders + prefix[-1:]`. vLLM's prefix cache identifies a KV block by
the token ids up to its end, so the placeholders must differ whenever z does: they spell a handle in base B. Invariant: within one
cache epoch (between two resets of the prefix cache) a handle stands for exactly one z, and a z has exactly one handle. A request that runs
across a reset goes on spelling its handle, so that handle stays taken.
"""


class HandlesExhausted(RuntimeError):
    """All B^k handles of this epoch are taken; reset the prefix cache, then `reset` the handles."""


class HandleTable:
    """Gives every distinct latent of a cache epoch its own placeholder ids."""

    def __init__(self, *, first_id: int, base: int, slots: int):
        self._first_id = first_id
        self._base = base
        self._slots = slots
        self._handles: dict[bytes, int] = {}
        self._kept: set[int] = set()  # taken since before the epoch
        self._next = 0

    @property
    def capacity(self) -> int:
        return self._base**self._slots

    def placeholders(self, z: bytes) -> list[int]:
        """`slots` token ids for latent bytes `z`. Raises HandlesExhausted."""
        if z not in self._handles:
            self._handles[z] = self._free()
        handle = self._handles[z]
        return [self._first_id + handle // self._base**i % self._base for i in range(self._slots)]

    def _free(self) -> int:
        while self._next in self._kept:
            self._next += 1
        if self._next >= self.capacity:
            raise HandlesExhausted(f"{self.capacity} latents share the prefix cache already")
        self._next += 1
        return self._next - 1

    def reset(self, keep: set[bytes] = frozenset()) -> None:
        """Start a new epoch in which the latents `keep` have the handles they had. Only right after the prefix cache was reset."""
        self._handles = {z: handle for z, handle in self._handles.items() if z in keep}
        self._kept = set(self._handles.values())
        self._next = 0
