"""Values into text: reports, tables, JSON, Markdown. Pure."""
