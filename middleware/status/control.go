package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
)

// Control lets operators command d by POST. The form value action says what:
//
//   - drain begins a drain that can be taken back ([middleware.Drainer.Drain]), and answers at once;
//   - resume takes it back ([middleware.Drainer.Resume]), or answers 409 if it is final;
//   - shed tells a part of the streams goodbye ([middleware.Drainer.Shed]): fraction (0 to 1) or n of
//     them, spread over the duration in spread. It answers when they have ended, with how.
//
// Answers are JSON. check reports whether a request may: by a token that it compares in constant
// time, say, or by the client's certificate. Others get 403, as do requests of pages of other
// origins ([http.CrossOriginProtection]). Control panics if check is nil: for none, write one that
// returns true.
func Control(d *middleware.Drainer, check func(*http.Request) bool) http.Handler {
	return guarded("Control", check, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			answer(w, http.StatusMethodNotAllowed, errors.New("use POST"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
		switch action := r.PostFormValue("action"); action {
		case "drain":
			d.Drain()
			answer(w, http.StatusOK, nil)
		case "resume":
			if err := d.Resume(); err != nil {
				answer(w, http.StatusConflict, err)
				return
			}
			answer(w, http.StatusOK, nil)
		case "shed":
			shed(w, r, d)
		default:
			answer(w, http.StatusBadRequest, errors.New("action must be drain, resume or shed"))
		}
	})
}

func shed(w http.ResponseWriter, r *http.Request, d *middleware.Drainer) {
	var o middleware.ShedOptions
	var errs [3]error
	if text := r.PostFormValue("fraction"); text != "" {
		o.Fraction, errs[0] = strconv.ParseFloat(text, 64)
	}
	if text := r.PostFormValue("n"); text != "" {
		o.N, errs[1] = strconv.Atoi(text)
	}
	if text := r.PostFormValue("spread"); text != "" {
		o.Rule.Spread, errs[2] = time.ParseDuration(text)
	}
	if err := errors.Join(errs[:]...); err != nil {
		answer(w, http.StatusBadRequest, err)
		return
	}
	result, err := d.Shed(r.Context(), o)
	switch {
	case errors.Is(err, middleware.ErrDrainBegun):
		answer(w, http.StatusConflict, err)
	case err != nil && r.Context().Err() == nil:
		answer(w, http.StatusBadRequest, err)
	case err == nil:
		writeJSON(w, http.StatusOK, result)
	}
}

// PreStop begins a drain, and answers when it is over, for a container's preStop hook: Kubernetes
// sends the container its SIGTERM when the hook has answered. It answers GET, which Kubernetes
// sends, and POST: with 200 and the report as text, or with 500 if handlers still ran at the end. A
// second request waits for the same drain. It doesn't wait for its own response, but mounted inside
// of [middleware.Graceful] a request that comes when the drain has begun is refused.
//
// The drain is one that can be taken back until the SIGTERM comes. Its budget has to fit the pod's
// terminationGracePeriodSeconds, which counts from the hook's beginning.
//
// check is as for [Control]: a hook can send headers. A GET that comes from a browser is refused,
// since a page of another origin can have it sent.
func PreStop(d *middleware.Drainer, check func(*http.Request) bool) http.Handler {
	return guarded("PreStop", check, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodPost:
			w.Header().Set("Allow", "GET, POST")
			answer(w, http.StatusMethodNotAllowed, errors.New("use GET or POST"))
			return
		case r.Method == http.MethodGet && (r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != ""):
			answer(w, http.StatusForbidden, errors.New("use POST from a browser"))
			return
		}
		d.Drain()
		if err := d.Wait(r.Context()); err != nil {
			answer(w, http.StatusInternalServerError, err)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, d.Report().String())
	})
}

// guarded returns f for requests that check allows and that no page of another origin has sent.
func guarded(name string, check func(*http.Request) bool, f http.HandlerFunc) http.Handler {
	if check == nil {
		panic(fmt.Sprintf("status: %s was given no function that checks who asks; give it one, or one that returns true", name))
	}
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, errors.New("the request comes from another origin"))
	}))
	return guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !check(r) {
			answer(w, http.StatusForbidden, errors.New("not allowed"))
			return
		}
		f(w, r)
	}))
}

// answer answers with an error, or that there is none.
func answer(w http.ResponseWriter, status int, err error) {
	text := "ok"
	if err != nil {
		text = err.Error()
	}
	writeJSON(w, status, map[string]string{"result": text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
