"""A sheet labelled by a person with the keyboard: on a page of its own server, each label in the file at once."""
