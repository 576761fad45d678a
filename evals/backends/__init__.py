"""What answers: a model spec is resolved once, then asked; `base.py` holds the protocol."""
