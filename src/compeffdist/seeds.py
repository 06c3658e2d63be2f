"""The seed of each draw, derived from the one seed of a run."""

import hashlib


def stage_seed(seed: int, stage: str) -> int:
    """A 32-bit seed for a stage, derived from the one seed, so that no stage's draws depend on another's."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{stage}".encode()).digest()[:4], "big")
