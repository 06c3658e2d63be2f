"""How hard a triplet is for the warmed-up student, and which triplets are kept."""
