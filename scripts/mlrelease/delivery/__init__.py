"""The pass: observe, classify, plan, act, verify, record. Orchestrates the leaves; `plan/` decides."""
