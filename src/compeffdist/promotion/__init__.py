"""Which student version is champion: earned, recorded in a ledger, reversible."""
