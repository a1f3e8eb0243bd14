"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A deadline for each example would fail on a busy machine for no reason; the timeout of a test is limit enough.
settings.register_profile("default", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("default")
