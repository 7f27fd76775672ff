"""How runs show themselves: bars, previews, logs, plots. All of it consumes records."""
