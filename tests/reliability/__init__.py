"""Memory, threads, forks and faults: what makes the package worth trusting in a long-lived process."""
