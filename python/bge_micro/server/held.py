"""The memory that the server holds for all clients together, and its limits."""

from __future__ import annotations

from collections.abc import Hashable

from bge_micro.server.limits import Limits


class Held:
    """Bytes that are held for clients, each under its own key.

    Small amounts do not count: the number of connections bounds their sum, so a few clients with
    large amounts cannot keep the others out.
    """

    def __init__(self, most: int, free: int) -> None:
        """Hold at most `most` bytes of what is beyond the first `free` under each key."""
        self._most = most
        self._free = free
        self._held: dict[Hashable, int] = {}
        self._sum = 0

    def set(self, key: Hashable, size: int) -> bool:
        """Hold `size` bytes under a key instead of what it had; False, and no change, if too many.

        What takes less than before always fits.
        """
        before = self._held.get(key, 0)
        after = max(size - self._free, 0)
        if after > before and self._sum - before + after > self._most:
            return False
        self._sum += after - before
        if after:
            self._held[key] = after
        else:
            self._held.pop(key, None)
        return True

    def release(self, key: Hashable) -> None:
        """Hold nothing under a key any more."""
        self._sum -= self._held.pop(key, 0)

    def oldest(self) -> Hashable | None:
        """Return the key that has held something for the longest time."""
        return next(iter(self._held), None)


class HeldByClients:
    """What all connections of a server hold together: heads, bodies and unread answers."""

    def __init__(self, limits: Limits) -> None:
        """Start with nothing."""
        self.heads = Held(limits.held_head_bytes, limits.small_head_bytes)
        self.bodies = Held(limits.held_bytes, limits.small_body_bytes)
        self.answers = Held(limits.held_answer_bytes, 0)
