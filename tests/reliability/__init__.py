"""Memory, threads, forks and faults: what a long-lived process lives by."""
