"""A program for a job: lines that begin with the time of their writing, each written at once.

Arguments: how many, milliseconds between them, bytes of each. The clock is the machine's, the same for all processes.
"""

import os
import sys
import time


def main(count: int, pause_ms: float, width: int) -> None:
    """Write the lines."""
    filler = b"." * (width - 21)
    for _ in range(count):
        time.sleep(pause_ms / 1000)
        os.write(1, b"%020d" % time.monotonic_ns() + filler + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
