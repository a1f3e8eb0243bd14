"""What happens while a job runs: bytes to descriptors, panes, interrupts."""
