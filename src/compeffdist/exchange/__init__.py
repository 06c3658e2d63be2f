"""Answers leave and enter: what a run asked, and the export, import and verification of what was bought."""
