package middleware_test

import "net/http"

// writers gives a writer for each combination of the optional interfaces.
func writers(b bare) map[string]http.ResponseWriter {
	return map[string]http.ResponseWriter{
		"none": b,
		"flushing": struct {
			bare
			flushing
		}{b, flushing{errFlush}},
		"taking": struct {
			bare
			taking
		}{b, taking{}},
		"noting": struct {
			bare
			noting
		}{b, noting{}},
		"reading": struct {
			bare
			reading
		}{b, reading{}},
		"pushing": struct {
			bare
			pushing
		}{b, pushing{}},
		"flushing taking": struct {
			bare
			flushing
			taking
		}{b, flushing{errFlush}, taking{}},
		"flushing noting": struct {
			bare
			flushing
			noting
		}{b, flushing{errFlush}, noting{}},
		"flushing reading": struct {
			bare
			flushing
			reading
		}{b, flushing{errFlush}, reading{}},
		"flushing pushing": struct {
			bare
			flushing
			pushing
		}{b, flushing{errFlush}, pushing{}},
		"taking noting": struct {
			bare
			taking
			noting
		}{b, taking{}, noting{}},
		"taking reading": struct {
			bare
			taking
			reading
		}{b, taking{}, reading{}},
		"taking pushing": struct {
			bare
			taking
			pushing
		}{b, taking{}, pushing{}},
		"noting reading": struct {
			bare
			noting
			reading
		}{b, noting{}, reading{}},
		"noting pushing": struct {
			bare
			noting
			pushing
		}{b, noting{}, pushing{}},
		"reading pushing": struct {
			bare
			reading
			pushing
		}{b, reading{}, pushing{}},
		"flushing taking noting": struct {
			bare
			flushing
			taking
			noting
		}{b, flushing{errFlush}, taking{}, noting{}},
		"flushing taking reading": struct {
			bare
			flushing
			taking
			reading
		}{b, flushing{errFlush}, taking{}, reading{}},
		"flushing taking pushing": struct {
			bare
			flushing
			taking
			pushing
		}{b, flushing{errFlush}, taking{}, pushing{}},
		"flushing noting reading": struct {
			bare
			flushing
			noting
			reading
		}{b, flushing{errFlush}, noting{}, reading{}},
		"flushing noting pushing": struct {
			bare
			flushing
			noting
			pushing
		}{b, flushing{errFlush}, noting{}, pushing{}},
		"flushing reading pushing": struct {
			bare
			flushing
			reading
			pushing
		}{b, flushing{errFlush}, reading{}, pushing{}},
		"taking noting reading": struct {
			bare
			taking
			noting
			reading
		}{b, taking{}, noting{}, reading{}},
		"taking noting pushing": struct {
			bare
			taking
			noting
			pushing
		}{b, taking{}, noting{}, pushing{}},
		"taking reading pushing": struct {
			bare
			taking
			reading
			pushing
		}{b, taking{}, reading{}, pushing{}},
		"noting reading pushing": struct {
			bare
			noting
			reading
			pushing
		}{b, noting{}, reading{}, pushing{}},
		"flushing taking noting reading": struct {
			bare
			flushing
			taking
			noting
			reading
		}{b, flushing{errFlush}, taking{}, noting{}, reading{}},
		"flushing taking noting pushing": struct {
			bare
			flushing
			taking
			noting
			pushing
		}{b, flushing{errFlush}, taking{}, noting{}, pushing{}},
		"flushing taking reading pushing": struct {
			bare
			flushing
			taking
			reading
			pushing
		}{b, flushing{errFlush}, taking{}, reading{}, pushing{}},
		"flushing noting reading pushing": struct {
			bare
			flushing
			noting
			reading
			pushing
		}{b, flushing{errFlush}, noting{}, reading{}, pushing{}},
		"taking noting reading pushing": struct {
			bare
			taking
			noting
			reading
			pushing
		}{b, taking{}, noting{}, reading{}, pushing{}},
		"flushing taking noting reading pushing": struct {
			bare
			flushing
			taking
			noting
			reading
			pushing
		}{b, flushing{errFlush}, taking{}, noting{}, reading{}, pushing{}},
	}
}
