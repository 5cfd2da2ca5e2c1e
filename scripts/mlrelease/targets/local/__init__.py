"""The target `local`: model servers as processes of this machine, kept by supervisor, behind Envoy. No image runs here."""
