"""One file a command, with its help, its arguments and what it runs, over behaviour that lives elsewhere."""
