"""`transplant-central fsck`: does everything that registry, store and files say fit together?"""
