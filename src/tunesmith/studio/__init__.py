"""What a run does where the model makes pictures: opening, latents, training, proof, and what is left on the disk."""
