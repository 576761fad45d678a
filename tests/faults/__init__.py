"""Faults that are played on whole runs of `pytest evals`; each test shows that nothing is lost (docs/reliability.md)."""
