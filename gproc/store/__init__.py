"""The job directory: records, the output file and its index, retention. No processes, no network."""
