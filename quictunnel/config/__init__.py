"""Settings: text and files become checked values, or `SettingsError` says what is wrong.

Nothing here uses the network or logs. Functions that notice something worth a warning emit an
event.
"""
