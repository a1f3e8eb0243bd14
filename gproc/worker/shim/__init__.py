"""The shim: one small process per job, its parent, its scribe and its undertaker.

It runs the program, writes down its output, stops it when asked or when its time is over, reaps and sweeps everything
it left behind, and writes the final record. It owes the server nothing: whoever dies, it goes on. It is forked from
the spawner's warm interpreter and uses the standard library only. Once its job is over, the server may give it another.

- `main`: from the first record to the last; reads as the story of a job.
- `job`: the job itself: phases, signals, reaping.
- `pump`: its output, from pipes to files.
- `links`: those who listen and ask.
- `loop`: descriptors and deadlines.
"""
