"""Outside HTTP: one retry policy for every server that is asked, and its words for what went wrong."""
