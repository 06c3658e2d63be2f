"""Watching a run from another process: what stages, gates, teacher and training are at, as a page and as lines.

Everything is read off files that a run writes anyway and the notes beside the stages' locks; nothing is written.
"""
