"""Parts of the engine that turns a whole text into a few numbers: rewards, probabilities, embeddings, preferences.

Each module holds one idea and imports torch only inside its functions. Nothing here knows stages, rows or runs.
"""
