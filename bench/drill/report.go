package main

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// reports write a score, by the value of -format.
var reports = map[string]func(*score, io.Writer) error{
	"text": writeText, "json": writeJSON, "markdown": writeMarkdown, "junit": writeJUnit,
}

// server is what was judged, for people.
func (s *score) server() string {
	if s.pid != 0 {
		return fmt.Sprintf("process %d", s.pid)
	}
	return printable(strings.Join(s.command, " "))
}

// by is the signal that asked the server to end.
func (s *score) by() string { return "SIG" + cmp.Or(s.signal, "TERM") }

// verdict says how a rule stands.
func (s *score) verdict(number string) string {
	switch {
	case s.failed[number] > 0:
		return "BROKEN"
	case s.checks[number] > 0:
		return "kept"
	}
	return "not met"
}

// summary says in a line how all of them stand.
func (s *score) summary() string {
	var broken []string
	for _, r := range rules {
		if s.failed[r.number] > 0 {
			broken = append(broken, r.number)
		}
	}
	if broken == nil {
		return "No rule is broken."
	}
	return "Broken: " + strings.Join(broken, ", ")
}

// where says on which route and in which case something was found, and how often.
func (f finding) where() string {
	where := f.Case
	if f.Route != "" {
		where = f.Route + ", " + where
	}
	switch f.Times {
	case 1:
		return where
	case 2:
		return where + ", and once more"
	}
	return fmt.Sprintf("%s, and %d times more", where, f.Times-1)
}

// String returns the finding in one line.
func (f finding) String() string {
	return fmt.Sprintf("%s %s: %s (%s)", f.Rule, f.where(), f.Text, f.Page)
}

func (c caseScore) statusText() string {
	switch {
	case c.Killed:
		return "SIGKILL"
	case c.Status < 0:
		return "-"
	}
	return fmt.Sprint(c.Status)
}

func writeText(s *score, w io.Writer) error {
	_, err := io.WriteString(w, s.text())
	return err
}

// code returns text as code in Markdown, in a table as well. All that could be markup there, a link
// or a mention is written as HTML's character references.
func code(text string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(text, "www.", "www\x00") {
		switch {
		case r == 0:
			b.WriteString("&#46;")
		case strings.ContainsRune("&<>|\\`*_[]~@:#!$", r):
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return "<code>" + b.String() + "</code>"
}

func writeMarkdown(s *score, w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s. **%s**\n\n| rule | | checks kept |\n| --- | --- | --- |\n", code(s.server()), s.began.Format(time.DateOnly), s.summary())
	for _, r := range rules {
		fmt.Fprintf(&b, "| [%s](%s) %s | %s | %d of %d |\n", r.number, page(r.number), r.title, s.verdict(r.number), s.checks[r.number]-s.failed[r.number], s.checks[r.number])
	}
	for i, f := range s.findings {
		if i == 0 {
			b.WriteString("\n| finding | what was seen | times |\n| --- | --- | --- |\n")
		}
		route := ""
		if f.Route != "" {
			route = code(f.Route) + ", "
		}
		fmt.Fprintf(&b, "| [%s](%s) %s%s | %s | %d |\n", f.Rule, f.Page, route, f.Case, code(f.Text), f.Times)
	}
	b.WriteString("\n| " + s.by() + " | took | status |\n| --- | --- | --- |\n")
	for _, c := range s.cases {
		fmt.Fprintf(&b, "| %s | %.2f s | %s |\n", c.Name, c.Took.Seconds(), c.statusText())
	}
	for i, r := range s.routes {
		if i == 0 {
			b.WriteString("\n| route | answers with |\n| --- | --- |\n")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", code(printable(r.Name())), r.kind())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A document is the report in JSON, as docs/drill.md describes it.
type document struct {
	Server   string      `json:"server"`
	URL      string      `json:"url"`
	Date     time.Time   `json:"date"`
	Took     float64     `json:"took_seconds"`
	Broken   bool        `json:"broken"`
	Routes   []jsonRoute `json:"routes"`
	Rules    []jsonRule  `json:"rules"`
	Cases    []caseScore `json:"cases"`
	Findings []finding   `json:"findings"`
}

type jsonRoute struct {
	Route string `json:"route"`
	Kind  string `json:"kind"`
}

type jsonRule struct {
	Rule   string `json:"rule"`
	Title  string `json:"title"`
	Page   string `json:"page"`
	Checks int    `json:"checks"`
	Failed int    `json:"failed"`
}

func writeJSON(s *score, w io.Writer) error {
	out := document{
		Server: s.server(), URL: s.url.String(), Date: s.began.UTC().Truncate(time.Second), Took: s.took.Seconds(), Broken: s.broken(),
		Routes: []jsonRoute{}, Rules: []jsonRule{}, Cases: append([]caseScore{}, s.cases...), Findings: append([]finding{}, s.findings...),
	}
	for _, r := range s.routes {
		out.Routes = append(out.Routes, jsonRoute{printable(r.Name()), r.kind()})
	}
	for _, r := range rules {
		out.Rules = append(out.Rules, jsonRule{r.number, r.title, page(r.number), s.checks[r.number], s.failed[r.number]})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// A suite is JUnit's XML, as CI systems read it and its schemas have it: a test for each rule. The
// order of the fields is theirs.
type suite struct {
	XMLName    xml.Name `xml:"testsuite"`
	Name       string   `xml:"name,attr"`
	Tests      int      `xml:"tests,attr"`
	Failures   int      `xml:"failures,attr"`
	Errors     int      `xml:"errors,attr"`
	Skipped    int      `xml:"skipped,attr"`
	Time       string   `xml:"time,attr"` // in seconds
	Timestamp  string   `xml:"timestamp,attr"`
	Hostname   string   `xml:"hostname,attr"`
	Properties struct{} `xml:"properties"`
	Cases      []test   `xml:"testcase"`
	Out        string   `xml:"system-out"` // the report as text
	Err        string   `xml:"system-err"`
}

type test struct {
	Name    string    `xml:"name,attr"`
	Class   string    `xml:"classname,attr"`
	Time    string    `xml:"time,attr"` // zero: all rules are judged at once
	Failure *failure  `xml:"failure"`
	Skipped *struct{} `xml:"skipped"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func writeJUnit(s *score, w io.Writer) error {
	out := suite{
		Name: "drill of " + s.server(), Tests: len(rules), Time: fmt.Sprintf("%.3f", s.took.Seconds()),
		Timestamp: s.began.UTC().Format("2006-01-02T15:04:05"), Hostname: "localhost", Out: s.text(),
	}
	for _, r := range rules {
		t := test{Name: r.number + " " + r.title, Class: "drill", Time: "0"}
		var texts []string
		for _, f := range s.findings {
			if f.Rule == r.number {
				texts = append(texts, f.String())
			}
		}
		if len(texts) > 0 {
			out.Failures++
			t.Failure = &failure{fmt.Sprintf("broken in %d of %d checks", s.failed[r.number], s.checks[r.number]), "rule " + r.number, strings.Join(texts, "\n")}
		} else if s.checks[r.number] == 0 {
			out.Skipped++
			t.Skipped = &struct{}{}
		}
		out.Cases = append(out.Cases, t)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
