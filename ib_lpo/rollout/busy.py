"""How much of the engines' time goes by without a call; pure."""


class BusyTime:
    """Engines are busy between `begin` and `end`; times are monotonic seconds."""

    def __init__(self, engines: int):
        self._since: list[float | None] = [None] * engines
        self._spent = 0.0
        self._asked: float | None = None

    def begin(self, engine: int, now: float) -> None:
        """Has a call from here on; nothing changes for one that had one already."""
        if self._asked is None:
            self._asked = now
        if self._since[engine] is None:
            self._since[engine] = now

    def end(self, engine: int, now: float) -> None:
        """Has none any more."""
        if (since := self._since[engine]) is not None:
            self._spent += now - since
            self._since[engine] = None

    def idle_share(self, now: float) -> float:
        """Of the engines' time since the last call of this, or the first `begin`; 0 without any time."""
        for engine, since in enumerate(self._since):
            if since is not None:
                self.end(engine, now)
                self._since[engine] = now
        span = 0.0 if self._asked is None else (now - self._asked) * len(self._since)
        spent, self._spent, self._asked = self._spent, 0.0, now
        return max(0.0, 1.0 - spent / span) if span > 0 else 0.0
