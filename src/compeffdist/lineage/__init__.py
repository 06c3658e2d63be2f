"""Where a row comes from and where it went; whether every artefact is what its record says; taking a text back."""
