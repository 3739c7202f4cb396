"""policy: which models, in what order, when to stop. Generators without I/O."""
