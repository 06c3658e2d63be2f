"""From texts to instructions: attributes, perspectives, tasks, demonstrations, pairs."""
