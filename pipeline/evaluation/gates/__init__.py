"""The gates of `select.gates`: whether the settings can be right, and whether a candidate passes."""
