"""The benchmark suite: bge-micro and its peers on the same texts, weights and threads."""
