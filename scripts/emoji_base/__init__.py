"""Makes `emoji-diffusion`, the small latent diffusion model that comes with the package, from emoji with names."""
