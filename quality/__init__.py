"""The quality gate: whether tables fulfil the expectations of their contracts. Begin with `quality.gate.check`."""
