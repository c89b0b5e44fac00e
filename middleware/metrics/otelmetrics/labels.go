package otelmetrics

import (
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A key is what a set of attributes is made from.
type key struct {
	route  string
	kind   policy.Kind
	format stream.Format

	outcome, reason string // of a response that is counted; else empty
	status          string // of a duration; else empty
}

// labels keeps the sets of attributes, since to make one costs more than to count.
type labels struct {
	mu     sync.RWMutex    // guards following
	routes map[string]bool // the patterns that are told apart
	sets   map[key]metric.MeasurementOption
}

// maxRoutes is how many patterns are told apart: a router may make up one for each request.
const maxRoutes = 500

// known returns pattern, or "" if it is none of those that are told apart.
func (l *labels) known(pattern string) string {
	l.mu.RLock()
	known, full := l.routes[pattern], len(l.routes) >= maxRoutes
	l.mu.RUnlock()
	if !known && !full {
		l.mu.Lock()
		defer l.mu.Unlock()
		if known = l.routes[pattern] || len(l.routes) < maxRoutes; known {
			l.routes[pattern] = true
		}
	}
	if !known {
		return ""
	}
	return pattern
}

// attributes returns the attributes for k.
func (l *labels) attributes(k key) metric.MeasurementOption {
	k.route = l.known(k.route)
	l.mu.RLock()
	set := l.sets[k]
	l.mu.RUnlock()
	if set != nil {
		return set
	}
	set = newAttributes(k)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets[k] = set
	return set
}

// newAttributes makes the attributes for k, of which it leaves out empty ones. A pattern's method,
// if it has one, has an attribute of its own.
func newAttributes(k key) metric.MeasurementOption {
	method, path, ok := strings.Cut(k.route, " ")
	if !ok || k.format == stream.Task {
		method, path = "", k.route
	}
	all := []attribute.KeyValue{attribute.String("lastcall.kind", k.kind.String()), attribute.String("lastcall.format", string(k.format))}
	for _, a := range []attribute.KeyValue{
		attribute.String("http.request.method", method), attribute.String("http.route", path),
		attribute.String("lastcall.outcome", k.outcome), attribute.String("lastcall.reason", k.reason), attribute.String("lastcall.status", k.status),
	} {
		if a.Value.AsString() != "" {
			all = append(all, a)
		}
	}
	return metric.WithAttributeSet(attribute.NewSet(all...))
}

// statusOf returns how a response ended in the words that SignalR has for a connection's end.
func statusOf(o middleware.Observation) string {
	switch {
	case o.Outcome == "cut", o.Outcome == "unanswered":
		return "timeout"
	case o.Reason == "":
		return "normal_closure"
	case o.Reason == "drain":
		return "app_shutdown"
	case o.Reason == "age":
		return "max_age"
	}
	return o.Reason
}
