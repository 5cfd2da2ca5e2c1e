"""Outside registries behind ports: facts about versions, and the bytes of their artifacts (DESIGN §4, floor 3)."""
