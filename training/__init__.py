"""From data to a promoted adapter: data -> lint -> encode -> train -> package -> create in Ollama -> gate -> promote or roll back.

`python -m training` is its command line. It imports evals; evals never imports it.
"""
