"""BGP instead of static routes: who speaks with whom, the password, and BIRD on a machine."""
