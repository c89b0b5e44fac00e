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
	mu     sync.RWMutex
	routes map[string]route // by pattern
	sets   map[key]metric.MeasurementOption
}

// A route is a pattern, taken apart.
type route struct{ method, path string }

// maxRoutes is how many patterns are told apart: a router may make up one for each request.
const maxRoutes = 500

// known returns k, without its route if that is none of those that are told apart.
func (l *labels) known(k key) key {
	l.mu.RLock()
	_, known := l.routes[k.route]
	full := len(l.routes) >= maxRoutes
	l.mu.RUnlock()
	if known {
		return k
	}
	if !full {
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, known = l.routes[k.route]; !known && len(l.routes) < maxRoutes {
			l.routes[k.route], known = routeOf(k.route, k.format), true
		}
	}
	if !known {
		k.route = ""
	}
	return k
}

func routeOf(pattern string, format stream.Format) route {
	if method, path, ok := strings.Cut(pattern, " "); ok && format != stream.Task {
		return route{method, path}
	}
	return route{path: pattern}
}

// set returns the attributes for k.
func (l *labels) set(k key) metric.MeasurementOption {
	k = l.known(k)
	l.mu.RLock()
	set := l.sets[k]
	r := l.routes[k.route]
	l.mu.RUnlock()
	if set != nil {
		return set
	}
	set = attributes(k, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets[k] = set
	return set
}

func attributes(k key, r route) metric.MeasurementOption {
	all := []attribute.KeyValue{attribute.String("lastcall.kind", k.kind.String()), attribute.String("lastcall.format", string(k.format))}
	for _, a := range []attribute.KeyValue{
		attribute.String("http.request.method", r.method), attribute.String("http.route", r.path),
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
