"""What becomes of jobs and their output when things break, as figures.

- `figure`: what a figure is, and the stage that it plays on.
- `figures`: one module for each kind of fault.
- `table`: the figures for people and for programs.
"""
