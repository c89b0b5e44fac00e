package prommetrics

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

var (
	// requestBuckets are those that OpenTelemetry's conventions advise for
	// http.server.request.duration.
	requestBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	// streamBuckets go from a second to a day.
	streamBuckets = []float64{1, 5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600}

	phases = []middleware.Phase{middleware.Serving, middleware.Announcing, middleware.Draining, middleware.Canceling,
		middleware.Cutting, middleware.Done}
)

// The labels of what is open come first in all.
var openLabels = []string{"http_request_method", "http_route", "lastcall_kind", "lastcall_format"}

// A Collector is a [prometheus.Collector] of the metrics of one Drainer. It may be registered with
// any number of registries; collections are concurrency-safe.
type Collector struct {
	d *middleware.Drainer

	responses, farewells                        *prometheus.CounterVec
	late                                        prometheus.Counter
	responseDuration, streamDuration, firstByte *prometheus.HistogramVec
	active, phase, began, deadline              *prometheus.Desc

	mu     sync.RWMutex    // guards following
	routes map[string]bool // the patterns that are told apart
	series map[key]series
}

// New returns a collector of d's metrics. It sets d.Observe to a function that counts, and that
// calls the one that was set before, so it must be called before the first call of
// [middleware.Graceful] with d. It panics if d is nil.
//
// A response costs less than a microsecond more, and one that is open no memory at all. A scrape
// visits the responses that are open, at most once a second while d serves and ten times a second
// while it drains; scrapes between these, and watchers of d, share what was found (see
// [middleware.Drainer.Watch]).
func New(d *middleware.Drainer) *Collector {
	if d == nil {
		panic("prommetrics: New was given a nil *middleware.Drainer; give it &middleware.Drainer{}")
	}
	with := func(more ...string) []string { return append(slices.Clone(openLabels), more...) }
	histogram := func(name, help string, buckets []float64, labels []string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts{Name: name, Help: help} }
	c := &Collector{
		d:      d,
		routes: map[string]bool{},
		series: map[key]series{},
		responses: prometheus.NewCounterVec(counter("lastcall_responses_total",
			"Responses that have ended or were refused."), with("lastcall_outcome", "lastcall_reason")),
		responseDuration: histogram("lastcall_response_duration_seconds",
			"Duration of responses that end by themselves: no streams.", requestBuckets, with("lastcall_status")),
		streamDuration: histogram("lastcall_stream_duration_seconds",
			"Duration of streams that have ended.", streamBuckets, with("lastcall_status")),
		firstByte: histogram("lastcall_time_to_first_byte_seconds",
			"Time from the beginning of a response to its first byte.", requestBuckets, openLabels),
		farewells: prometheus.NewCounterVec(counter("lastcall_farewells_total",
			"Farewells that went out, counted when their stream ended."), []string{"lastcall_reason"}),
		late: prometheus.NewCounter(counter("lastcall_late_requests_total",
			"Requests that came during a drain, counted when their response ended.")),
		active: prometheus.NewDesc("http_server_active_requests", "Responses that are open.", openLabels, nil),
		phase: prometheus.NewDesc("lastcall_drain_phase",
			"1 for the phase that the drain is in, and 0 for the others.", []string{"lastcall_phase"}, nil),
		began: prometheus.NewDesc("lastcall_drain_start_timestamp_seconds", "When the drain began.", nil, nil),
		deadline: prometheus.NewDesc("lastcall_drain_deadline_timestamp_seconds",
			"When the budget of the drain is used up.", nil, nil),
	}
	for _, reason := range []string{"drain", "shed", "age"} {
		c.farewells.WithLabelValues(reason)
	}
	before := d.Observe
	d.Observe = func(o middleware.Observation) {
		c.observe(o)
		if before != nil {
			before(o)
		}
	}
	return c
}

func (c *Collector) observe(o middleware.Observation) {
	s := c.seriesOf(key{o.Route, o.Kind, o.Format, o.Outcome, o.Reason})
	if o.Outcome == "" {
		s.firstByte.Observe(o.Age.Seconds())
		return
	}
	if s.duration != nil {
		s.duration.Observe(o.Age.Seconds())
	}
	s.responses.Inc()
	if o.Told {
		c.farewells.WithLabelValues(o.Reason).Inc()
	}
	if o.Late {
		c.late.Inc()
	}
}

// A key is what a response's series depend on.
type key struct {
	route           string
	kind            policy.Kind
	format          stream.Format
	outcome, reason string
}

// series are what is counted in: at a first byte firstByte, else the others. duration is nil for a
// response that was refused.
type series struct {
	firstByte, duration prometheus.Observer
	responses           prometheus.Counter
}

// seriesOf returns the series for k. They are kept, since to look them up costs more than to count.
func (c *Collector) seriesOf(k key) series {
	k.route = c.known(k.route)
	c.mu.RLock()
	s, kept := c.series[k]
	c.mu.RUnlock()
	if kept {
		return s
	}
	values := openLabelValues(k.route, k.kind, k.format)
	open := values[:]
	switch {
	case k.outcome == "":
		s.firstByte = c.firstByte.WithLabelValues(open...)
	case k.outcome == "refused":
	case k.kind == policy.Infinite:
		s.duration = c.streamDuration.WithLabelValues(append(open, statusOf(k))...)
	default:
		s.duration = c.responseDuration.WithLabelValues(append(open, statusOf(k))...)
	}
	if k.outcome != "" {
		s.responses = c.responses.WithLabelValues(append(open, k.outcome, k.reason)...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.series[k] = s
	return s
}

// statusOf returns how a response ended in the words that SignalR has for a connection's end.
func statusOf(k key) string {
	switch {
	case k.outcome == "cut", k.outcome == "unanswered":
		return "timeout"
	case k.reason == "":
		return "normal_closure"
	case k.reason == "drain":
		return "app_shutdown"
	case k.reason == "age":
		return "max_age"
	}
	return k.reason
}

// maxRoutes is how many patterns are told apart: a router may make up one for each request.
const maxRoutes = 500

// known returns pattern, or "" if it is none of those that are told apart.
func (c *Collector) known(pattern string) string {
	c.mu.RLock()
	known, full := c.routes[pattern], len(c.routes) >= maxRoutes
	c.mu.RUnlock()
	if !known && !full {
		c.mu.Lock()
		defer c.mu.Unlock()
		if known = c.routes[pattern] || len(c.routes) < maxRoutes; known {
			c.routes[pattern] = true
		}
	}
	if !known {
		return ""
	}
	return pattern
}

// openLabelValues returns the values of openLabels. A pattern's method, if it has one, has a label
// of its own.
func openLabelValues(pattern string, kind policy.Kind, format stream.Format) [4]string {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || format == stream.Task {
		method, path = "", pattern
	}
	return [4]string{method, path, kind.String(), string(format)}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, v := range c.counted() {
		v.Describe(descs)
	}
	for _, desc := range []*prometheus.Desc{c.active, c.phase, c.began, c.deadline} {
		descs <- desc
	}
}

func (c *Collector) counted() []prometheus.Collector {
	return []prometheus.Collector{c.responses, c.responseDuration, c.streamDuration, c.firstByte, c.farewells, c.late}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	var report middleware.Report
	for report = range c.d.Watch(context.Background()) {
		break
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	// What was open before is there as zero, as long as a drain's report has it.
	open := map[[4]string]int{}
	for _, g := range report.Groups {
		open[openLabelValues(c.known(g.Route), g.Kind, g.Format)] += g.Open
	}
	for values, n := range open {
		gauge(c.active, float64(n), values[:]...)
	}
	for _, p := range phases {
		value := 0.0
		if p == report.Phase {
			value = 1
		}
		gauge(c.phase, value, string(p))
	}
	if report.Phase != middleware.Serving {
		gauge(c.began, float64(report.Began.UnixMilli())/1e3)
		if report.Phase != middleware.Done {
			gauge(c.deadline, float64(report.Began.Add(report.Took+report.Left).UnixMilli())/1e3)
		}
	}
	for _, v := range c.counted() {
		v.Collect(metrics)
	}
}
