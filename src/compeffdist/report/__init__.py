"""The page people look at after a run, and the run in one row of figures."""
