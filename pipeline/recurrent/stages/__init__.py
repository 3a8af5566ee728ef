"""The stages of a language run."""
