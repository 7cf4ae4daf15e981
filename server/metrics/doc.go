// Package metrics counts for Prometheus what a server does. What an engine counts by itself is read
// from it when somebody asks, so that nothing is counted twice.
package metrics
