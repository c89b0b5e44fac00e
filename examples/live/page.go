package main

import (
	_ "embed"
	"net/http"
)

//go:embed page.html
var pageHTML []byte

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // a restarted server may have a newer one
	_, _ = w.Write(pageHTML)
}
