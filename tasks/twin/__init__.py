"""The twin: a copy of the cluster, made of network namespaces, to rehearse on."""
