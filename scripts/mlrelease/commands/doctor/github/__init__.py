"""`doctor` on GitHub: rules, rights and gates of the repository. One file per subject."""
