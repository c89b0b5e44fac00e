package otelmetrics

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// scope is the name of the meter.
const scope = "github.com/lastcall-go/lastcall/middleware/metrics/otelmetrics"

var (
	// requestBuckets are those that the conventions advise for http.server.request.duration.
	requestBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	// streamBuckets go from a second to a day.
	streamBuckets = []float64{1, 5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600}

	phases = []middleware.Phase{middleware.Serving, middleware.Announcing, middleware.Draining, middleware.Canceling,
		middleware.Cutting, middleware.Done}
)

// Register makes the instruments for d's metrics with a meter of p. It sets d.Observe to a function
// that counts, and that calls the one that was set before, so it must be called before the first
// call of [middleware.Graceful] with d. The error is p's, if an instrument can't be made, and
// nothing is set then. Register panics if d or p is nil.
//
// unregister ends the collection of what is asked for at each one: what is open, and the state of
// the drain. What is counted as responses end is counted on.
//
// A response that is open costs no memory. A collection visits the responses that are open, at most
// once a second while d serves and ten times a second while it drains; collections between these,
// and watchers of d, share what was found (see [middleware.Drainer.Watch]).
func Register(d *middleware.Drainer, p metric.MeterProvider) (unregister func() error, err error) {
	if d == nil || p == nil {
		panic("otelmetrics: Register was given a nil *middleware.Drainer or metric.MeterProvider")
	}
	i := &instruments{d: d, labels: labels{routes: map[string]bool{}, sets: map[key]metric.MeasurementOption{}}}
	var registration metric.Registration
	if registration, err = i.create(p.Meter(scope)); err != nil {
		return nil, fmt.Errorf("otelmetrics: %w", err)
	}
	before := d.Observe
	d.Observe = func(o middleware.Observation) {
		i.observe(o)
		if before != nil {
			before(o)
		}
	}
	return registration.Unregister, nil
}

// instruments are those of one Drainer.
type instruments struct {
	d *middleware.Drainer

	responses, farewells, late                  metric.Int64Counter
	responseDuration, streamDuration, firstByte metric.Float64Histogram
	active                                      metric.Int64ObservableUpDownCounter
	phase                                       metric.Int64ObservableGauge
	began, deadline                             metric.Float64ObservableGauge

	labels
}

// create makes the instruments, and has collect called at each collection.
func (i *instruments) create(m metric.Meter) (metric.Registration, error) {
	var errs []error
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	histogram := func(name, description string, buckets []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	timestamp := func(name, description string) metric.Float64ObservableGauge {
		g, err := m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description))
		errs = append(errs, err)
		return g
	}
	i.responses = counter("lastcall.responses", "{response}", "Responses that have ended or were refused.")
	i.farewells = counter("lastcall.farewells", "{farewell}", "Farewells that went out, counted when their stream ended.")
	i.late = counter("lastcall.late_requests", "{request}", "Requests that came during a drain, counted when their response ended.")
	i.responseDuration = histogram("lastcall.response.duration", "Duration of responses that end by themselves: no streams.", requestBuckets)
	i.streamDuration = histogram("lastcall.stream.duration", "Duration of streams that have ended.", streamBuckets)
	i.firstByte = histogram("lastcall.time_to_first_byte", "Time from the beginning of a response to its first byte.", requestBuckets)
	i.began = timestamp("lastcall.drain.start.timestamp", "When the drain began.")
	i.deadline = timestamp("lastcall.drain.deadline.timestamp", "When the budget of the drain is used up.")
	var err error
	i.active, err = m.Int64ObservableUpDownCounter("http.server.active_requests", metric.WithUnit("{request}"),
		metric.WithDescription("Responses that are open."))
	errs = append(errs, err)
	i.phase, err = m.Int64ObservableGauge("lastcall.drain.phase",
		metric.WithDescription("1 for the phase that the drain is in, and 0 for the others."))
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	for _, reason := range []string{"drain", "shed", "age"} {
		i.farewells.Add(context.Background(), 0, byReason(reason))
	}
	i.late.Add(context.Background(), 0)
	return m.RegisterCallback(i.collect, i.active, i.phase, i.began, i.deadline)
}

func byReason(reason string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("lastcall.reason", reason))
}

// observe counts a first byte, or an end.
func (i *instruments) observe(o middleware.Observation) {
	ctx := context.Background()
	k := key{route: o.Route, kind: o.Kind, format: o.Format}
	if o.Outcome == "" {
		i.firstByte.Record(ctx, o.Age.Seconds(), i.attributes(k))
		return
	}
	ended, timed := k, k
	ended.outcome, ended.reason = o.Outcome, o.Reason
	timed.status = statusOf(o)
	i.responses.Add(ctx, 1, i.attributes(ended))
	switch {
	case o.Outcome == "refused":
	case o.Kind == policy.Infinite:
		i.streamDuration.Record(ctx, o.Age.Seconds(), i.attributes(timed))
	default:
		i.responseDuration.Record(ctx, o.Age.Seconds(), i.attributes(timed))
	}
	if o.Told {
		i.farewells.Add(ctx, 1, byReason(o.Reason))
	}
	if o.Late {
		i.late.Add(ctx, 1)
	}
}

// collect is called at each collection.
func (i *instruments) collect(_ context.Context, to metric.Observer) error {
	var report middleware.Report
	for report = range i.d.Watch(context.Background()) {
		break
	}
	open := map[key]int64{} // patterns that aren't told apart are one
	for _, g := range report.Groups {
		open[key{route: i.known(g.Route), kind: g.Kind, format: g.Format}] += int64(g.Open)
	}
	for k, n := range open {
		to.ObserveInt64(i.active, n, i.attributes(k))
	}
	for _, p := range phases {
		value := int64(0)
		if p == report.Phase {
			value = 1
		}
		to.ObserveInt64(i.phase, value, metric.WithAttributes(attribute.String("lastcall.phase", string(p))))
	}
	if report.Phase != middleware.Serving {
		to.ObserveFloat64(i.began, float64(report.Began.UnixMilli())/1e3)
		if report.Phase != middleware.Done {
			to.ObserveFloat64(i.deadline, float64(report.Began.Add(report.Took+report.Left).UnixMilli())/1e3)
		}
	}
	return nil
}
