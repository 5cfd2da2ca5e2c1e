"""The command line in words: the verbs with their arguments, and what becomes of an error."""
