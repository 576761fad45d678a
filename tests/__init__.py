"""Tests of `evals` and `training`, mirroring both."""
