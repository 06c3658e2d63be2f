"""What asking the teacher took and will take: calls, tokens, time, and money by prices of the user's own."""
