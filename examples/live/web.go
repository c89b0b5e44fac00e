package main

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed web
var webFiles embed.FS

// servePage adds the page and its scripts to mux. They are not part of what is drained, so that a
// browser can load the page, and with it the button that takes a drain back, at any time.
func servePage(mux *http.ServeMux) {
	files, err := fs.Sub(webFiles, "web")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	page := http.FileServerFS(files)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // a restarted server may have a newer one
		page.ServeHTTP(w, r)
	})
	mux.Handle("GET /web/", http.StripPrefix("/web", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		page.ServeHTTP(w, r)
	})))
}
