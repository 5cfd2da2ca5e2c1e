"""GitHub's REST API: what the verbs ask of it, each subject in its own module, all over one client."""
