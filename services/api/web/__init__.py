"""The page at `/`: a chat client for browsers, made of files in `static/` that no build step touches (docs/adr/0018)."""
