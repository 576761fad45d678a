"""From data to a promoted adapter: data -> encode -> train -> package -> create in Ollama -> evals -> promote or roll back.

Not part of this version: the package is here for its name, and holds nothing yet.
"""
