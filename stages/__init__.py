"""The stages that prefmill ships, one module each; they import `pipeline.api` and nothing else of the runtime."""
