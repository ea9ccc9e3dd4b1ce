"""Where datasets come from: readers and downloads. What `fetch` does."""
