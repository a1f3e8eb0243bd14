"""Speed and size of Gproc, measured side by side with its peers.

Every measure is one file in `measures`; every peer is one file in `peers`; what runs in a process of its own,
so that no side shares an interpreter with the one who measures, is in `drivers`. `stats`, `rows` and `turns` are pure.
"""
