"""What tests with real processes share: waiting with a limit, looking at processes, supervisors to be killed."""
