"""Learning a teacher from little data: what a net that exists gives to one that is trained. Pure torch."""
