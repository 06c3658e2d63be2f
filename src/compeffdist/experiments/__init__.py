"""Experiments as data: arms of params, each run for several seeds as DVC's experiments, compared on the same rows."""
