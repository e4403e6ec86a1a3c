"""vLLM behind our engine protocol: options, tested versions, a host process for each model, faults survived."""
