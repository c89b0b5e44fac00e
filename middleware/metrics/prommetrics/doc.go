// Package prommetrics has Prometheus metrics of a [middleware.Drainer]: what is open, how responses
// ended, how long they took to their first byte and in all, and how a drain goes.
//
//	d := &middleware.Drainer{}
//	prometheus.MustRegister(prommetrics.New(d))
//	// ... middleware.Graceful(d), and on a port of its own:
//	http.Handle("/metrics", promhttp.Handler())
//
// The metrics have the names that those of package otelmetrics get in Prometheus, and the same
// labels:
//
//	http_server_active_requests                      gauge: responses that are open, tasks among them
//	lastcall_responses_total                         counter: responses that have ended, or were refused
//	lastcall_response_duration_seconds               histogram: finite ones, from beginning to end
//	lastcall_stream_duration_seconds                 histogram: streams, with buckets up to a day
//	lastcall_time_to_first_byte_seconds              histogram: both, counted when the byte goes out
//	lastcall_farewells_total                         counter: farewells that went out, at the end of their response
//	lastcall_late_requests_total                     counter: requests that came during a drain, at the end of their response
//	lastcall_drain_phase                             gauge: 1 for the phase that it is in, 0 for the others
//	lastcall_drain_start_timestamp_seconds           gauge: when the drain began; absent while serving
//	lastcall_drain_deadline_timestamp_seconds        gauge: when its budget is used up; absent while serving, and once done
//
// The labels are these. None has what a client chose: no path, and no address.
//
//	http_route             the pattern that an http.ServeMux matched, without its method; the name of a task; or empty
//	http_request_method    that of the pattern, or empty
//	lastcall_kind          finite or infinite
//	lastcall_format        http, sse, websocket and so on: see stream.Format
//	lastcall_outcome       completed, told, unanswered, canceled, cut or refused: see middleware.Outcomes
//	lastcall_reason        why it was told or ended: drain, shed or age; empty where it ended by itself
//	lastcall_status        of a duration: normal_closure, app_shutdown, shed, max_age, or timeout, where the client or
//	                       the handler didn't end it in its time
//	lastcall_phase         see middleware.Phase
//
// Up to 500 patterns are told apart; responses of others count under an empty route.
package prommetrics
