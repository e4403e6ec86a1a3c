"""Parts of the engine that runs a causal language model in this process with torch and transformers.

Each module holds one idea and imports torch only inside its functions, so that importing this package costs
nothing and works without torch. Nothing here knows stages, rows or files of a run.
"""
