"""The command line of Muster: parse, call a flow or the registry, render. Nothing heavy at import."""

__version__ = "0.1.0"
