"""Gates: what must hold of an artefact before the next stage may use it."""
