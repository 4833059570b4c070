"""Benchmarks of hopfix against other ways to do the same work, on the same machine."""
