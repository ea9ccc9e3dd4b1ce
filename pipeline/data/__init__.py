"""From a raw table to splits, schema and encoded rows. What `preprocess` does."""
