"""From instructions and texts to triplets: pairs, the teacher's responses, the training set."""
