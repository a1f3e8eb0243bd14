"""``python -m gproc``: the command line, for when its script is not on the path."""

from gproc.cli.entry import main

if __name__ == "__main__":
    main()
