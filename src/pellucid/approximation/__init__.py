"""Constructive approximation: from a function and a tolerance to a certified sigmoid network."""
