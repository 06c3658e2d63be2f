"""COMPEFFDIST (arXiv 2510.24425) as a data-versioned pipeline: one teacher, one student, every row accounted for."""

__version__ = "0.1.0"
