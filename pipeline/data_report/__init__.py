"""The data report of a dataset: columns → groups, relation, findings → page."""
