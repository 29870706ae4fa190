"""Tests of what users call: `bge_micro.SentenceTransformer`."""
