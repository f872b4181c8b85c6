"""The public end: accepts clients on outside addresses and forwards them over origins' links."""
