"""The git command, and what lies in a repository."""
