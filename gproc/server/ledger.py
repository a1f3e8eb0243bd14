"""What each owner has at the moment, held against the quotas."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gproc.model import Identity
from gproc.model.policy import Quotas
from gproc.server.policy import Bucket, check_quota, is_full, take_token

__all__ = ["Ledger"]

_BUCKETS = 64
"""With so many, and whenever they have doubled since, those that are full again are thrown away."""


class Ledger:
    """Counts followers and starts of each owner."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float] = time.monotonic) -> None:
        self.quotas = quotas
        self._clock = clock
        self._followers: Counter[Identity] = Counter()
        self._starts: dict[Identity, Bucket] = {}
        self._most_starts = _BUCKETS

    @contextmanager
    def following(self, owner: Identity) -> Iterator[None]:
        """Count one follower until the end of the block; raise `QuotaExceeded` if there are too many."""
        check_quota("followers", self.quotas.followers, self._followers[owner], owner)
        self._followers[owner] += 1
        try:
            yield
        finally:
            self._followers[owner] -= 1
            if not self._followers[owner]:
                del self._followers[owner]

    def count_start(self, owner: Identity, running: Callable[[], int]) -> None:
        """Count one start; raise `QuotaExceeded` if *owner* starts too fast or has too many *running* jobs."""
        if self.quotas.running_jobs is not None:
            check_quota("running jobs", self.quotas.running_jobs, running(), owner)
        if self.quotas.starts_per_second is not None:
            self._take(owner, self.quotas.starts_per_second)

    def _take(self, owner: Identity, rate: float) -> None:
        now = self._clock()
        if owner not in self._starts and len(self._starts) >= self._most_starts:
            self._starts = {one: bucket for one, bucket in self._starts.items() if not is_full(bucket, rate, now)}
            self._most_starts = max(_BUCKETS, 2 * len(self._starts))
        self._starts[owner] = take_token(self._starts.get(owner), rate, now, owner)
