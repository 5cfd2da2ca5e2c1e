"""Desired, history and live, classified and turned into Changes: a table, tested as one. Pure."""
