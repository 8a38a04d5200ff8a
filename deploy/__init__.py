"""How it runs: local servers, containers, Kubernetes, Prometheus, Grafana. Imports none of ours."""
