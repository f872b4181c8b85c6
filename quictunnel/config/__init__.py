"""What the user asks for: addresses, quantities, tokens, certificates, settings. No network.

Everything here turns text and files into checked values, or raises `SettingsError` with one
sentence. It uses nothing of the layers above.
"""
