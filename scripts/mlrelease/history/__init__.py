"""Ledger events folded into what is known of an environment: recorded, verified, rejected, held. Pure."""
