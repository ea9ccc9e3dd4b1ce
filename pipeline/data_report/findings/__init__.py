"""Named warnings about the data, grouped by their subject: finding → columns, target, splits."""
