"""The reference model server, its own program. `config`, `compare`, `uds`, `golden` and `standalone` import nothing heavy."""
