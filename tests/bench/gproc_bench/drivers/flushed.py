"""A program for a job: lines of 20 bytes, each written at once, as many as the argument says."""

import os
import sys


def main(count: int) -> None:
    """Write the lines; each is one write, so nothing waits in a buffer."""
    write = os.write
    for number in range(count):
        write(1, b"%019d\n" % number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
