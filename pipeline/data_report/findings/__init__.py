"""Named warnings about the data, by what they look at: finding → columns, target, splits."""
