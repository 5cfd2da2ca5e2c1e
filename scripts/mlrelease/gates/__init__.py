"""Gates: evidence → `GateResult`, one file each, all of them pure (DESIGN §5.7)."""
