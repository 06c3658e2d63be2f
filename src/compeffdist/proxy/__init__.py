"""Difficulty predicted before there is an answer: the optional proxy."""
