// Package otelmetrics has OpenTelemetry metrics of a [middleware.Drainer]: what is open, how
// responses ended, how long they took to their first byte and in all, and how a drain goes.
//
//	d := &middleware.Drainer{}
//	unregister, err := otelmetrics.Register(d, otel.GetMeterProvider())
//	// ... middleware.Graceful(d), and when Run has returned, with what the drain did:
//	err = meterProvider.Shutdown(ctx)
//
// The instruments are these. In Prometheus they have the names and labels of package prommetrics,
// and its dashboard and alerting rules fit them.
//
//	http.server.active_requests         {request}    responses that are open, tasks among them
//	lastcall.responses                  {response}   responses that have ended, or were refused
//	lastcall.response.duration          s            finite ones, from beginning to end
//	lastcall.stream.duration            s            streams, with buckets up to a day
//	lastcall.time_to_first_byte         s            both, recorded when the byte goes out
//	lastcall.farewells                  {farewell}   farewells that went out, at the end of their response
//	lastcall.late_requests              {request}    requests that came during a drain, at the end of their response
//	lastcall.drain.phase                             1 for the phase that it is in, 0 for the others
//	lastcall.drain.start.timestamp      s            when the drain began; absent while serving
//	lastcall.drain.deadline.timestamp   s            when its budget is used up; absent while serving, and once done
//
// The attributes are these, the first two by the conventions for HTTP. One that is empty is left
// out. None has what a client chose: no path, and no address.
//
//	http.route             the pattern that an http.ServeMux matched, without its method; the name of a task
//	http.request.method    that of the pattern
//	lastcall.kind          finite or infinite
//	lastcall.format        http, sse, websocket and so on: see stream.Format
//	lastcall.outcome       completed, told, unanswered, canceled, cut or refused: see middleware.Outcomes
//	lastcall.reason        why it was told or ended: drain, shed or age; none where it ended by itself
//	lastcall.status        of a duration: normal_closure, app_shutdown, shed, max_age, or timeout, where the client or
//	                       the handler didn't end it in its time
//	lastcall.phase         see middleware.Phase
//
// Up to 500 patterns are told apart; responses of others count without a route. A Drainer
// doesn't count by scheme, so http.server.active_requests has no url.scheme.
package otelmetrics
