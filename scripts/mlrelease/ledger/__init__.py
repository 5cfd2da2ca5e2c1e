"""The append-only history of every environment, kept as events on a git branch; its lock and its fence."""
