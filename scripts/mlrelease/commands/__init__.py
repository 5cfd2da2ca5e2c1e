"""One file per verb: load (adapters) → decide (pure) → act (adapters) → report (pure text)."""
