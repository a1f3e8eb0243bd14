"""What runs in a process of its own: servers and clients of both sides, asked in JSON lines on standard input."""
