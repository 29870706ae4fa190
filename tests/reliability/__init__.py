"""Memory, threads, forks and faults, as long-running processes meet them."""
