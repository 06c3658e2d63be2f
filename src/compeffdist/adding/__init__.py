"""A user's file looked at, and entered into params.yaml as a source of texts or an evaluation task."""
