"""Training a site's teacher net on the site's own data, resumable and reproducible by its seed."""
