"""What the documentation's site is made of beside docs/: reference pages from the code, links and pictures."""
