"""Benchmarks in folders with a manifest: their tasks as data, k demonstrations, labels by likelihood, tuples by
constrained decoding, and figures with intervals."""
