"""From a bundle to predictions over HTTP."""
