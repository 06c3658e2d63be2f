"""The student: how it is shown a prompt, trained, loaded and asked."""
