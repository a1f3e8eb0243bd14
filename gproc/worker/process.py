"""One operating-system process."""


class Process:
    """One operating-system process in its own group."""
