"""From values to encoded rows, with every problem named. Imports `serving.parsing`."""
