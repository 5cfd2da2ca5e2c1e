"""`doctor`: one line for everything on this machine that a release depends on. One file per group of checks."""
