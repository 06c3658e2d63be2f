"""What several processes, or several machines, do in place of one is placed there by Ray."""
