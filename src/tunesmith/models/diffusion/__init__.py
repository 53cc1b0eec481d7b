"""Denoisers of pictures, behind one face: families of diffusers, their noise, their prompts, their pictures."""
