"""The command line: computes, then renders, then prints.

`gproc.cli.main` finds the verb; ``commands/<verb>.py`` has one verb each and is imported only when that verb is used;
``render`` turns values into what is drawn; ``live`` moves bytes and redraws. stdout is data, stderr is talk.
"""
