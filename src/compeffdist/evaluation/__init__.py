"""Evaluation of teacher, base student and student on the same labelled rows with the same prompts."""
