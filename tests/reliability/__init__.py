"""Memory, threads, forks and faults: what a long-lived process has to trust."""
