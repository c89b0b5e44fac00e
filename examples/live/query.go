package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// parameters reads a request's query and remembers the first thing that is wrong with it.
type parameters struct {
	values url.Values
	err    error
}

func query(r *http.Request) *parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	return &parameters{values, err}
}

func (p *parameters) integer(name string, usual, low, high int64) int64 {
	return parameter(p, name, usual, low, high, "a whole number", func(s string) (int64, error) {
		return strconv.ParseInt(s, 10, 64)
	})
}

func (p *parameters) duration(name string, usual, low, high time.Duration) time.Duration {
	return parameter(p, name, usual, low, high, "a time", time.ParseDuration)
}

func parameter[T int64 | time.Duration](
	p *parameters, name string, usual, low, high T, what string, read func(string) (T, error),
) T {
	if !p.values.Has(name) {
		return usual
	}
	value, err := read(p.values.Get(name))
	if (err != nil || value < low || value > high) && p.err == nil {
		p.err = fmt.Errorf("%s=%q: use %s from %v to %v", name, p.values.Get(name), what, low, high)
	}
	return value
}

// refused reports whether something was wrong, in which case it has answered so.
func (p *parameters) refused(w http.ResponseWriter) bool {
	if p.err != nil {
		http.Error(w, "live: "+p.err.Error(), http.StatusBadRequest)
	}
	return p.err != nil
}
