"""From a spec and a schema to a Keras graph: encoders, hidden layers, heads. Imports `contracts` only."""
