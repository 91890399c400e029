"""Learning without data: synthetic images, and distilling a function instead of gradients."""
