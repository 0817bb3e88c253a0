"""BGP instead of static routes: who speaks with whom, and BIRD's configuration. Pure."""
