"""A site's images, labels and masks behind one interface, one file for each origin."""
