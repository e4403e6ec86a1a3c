"""Language-model engines behind one protocol by capability."""
