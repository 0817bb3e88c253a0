"""Static routes between Kubernetes pod subnets, as Fabric tasks."""
