"""One file a command, over behaviour that lives elsewhere."""
