// Package metrics has tests of package prommetrics and package otelmetrics together, with
// Prometheus's own parser and engine: too much for what programs that use these would have to load.
package metrics
