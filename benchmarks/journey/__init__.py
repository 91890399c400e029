"""The main job end to end: a whole federation as processes, watched, proved and drawn."""
