"""How a trained system looks at a case."""
