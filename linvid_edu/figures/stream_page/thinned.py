"""A list of bounded length over a stream of any length."""

from collections.abc import Callable
from typing import Any


class Thinned:
    """A list of bounded length: when it is full, every other entry is dropped, and from then on every other new one.

    Args:
        most: Largest number of entries, at least 2.
    """

    def __init__(self, most: int) -> None:
        self.most, self.stride, self.offered = most, 1, 0
        self.entries: list[Any] = []

    def add(self, make: Callable[[], object]) -> None:
        """Keep what `make` returns, or skip the call if this entry is not kept."""
        if self.offered % self.stride == 0:
            self.entries.append(make())
            if len(self.entries) > self.most:
                self.entries, self.stride = self.entries[::2], 2 * self.stride
        self.offered += 1
