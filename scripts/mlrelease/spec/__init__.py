"""What the YAML files say: text → typed spec and findings with positions, JSON Schemas, byte-preserving edits. Pure."""
