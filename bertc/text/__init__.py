"""Text in, answers out: tokenizing, scheduling, and what models are used for. People import the names from bertc."""
