package main

import (
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

func (s *score) server() string {
	if s.pid != 0 {
		return fmt.Sprintf("process %d", s.pid)
	}
	return strings.Join(s.command, " ")
}

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

func (f finding) String() string {
	times := ""
	if f.Times > 1 {
		times = fmt.Sprintf(", and %d times more", f.Times-1)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", f.Rule, f.Route)) + fmt.Sprintf(", %s%s: %s (docs/drill.md#%s)", f.Case, times, f.Text, strings.ReplaceAll(f.Rule, ".", ""))
}

func (c caseScore) ending() string {
	switch {
	case c.Killed:
		return "SIGKILL"
	case c.Status < 0:
		return "-"
	}
	return fmt.Sprint(c.Status)
}

func writeText(s *score, w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n\n", s.server(), s.began.Format(time.DateOnly))
	for _, r := range s.routes {
		fmt.Fprintf(&b, "%-14s %s\n", r.kind(), r.Name())
	}
	fmt.Fprintf(&b, "\n%-34s %8s %8s\n", "SIGTERM", "took", "status")
	for _, c := range s.cases {
		fmt.Fprintf(&b, "%-34s %7.2fs %8s\n", c.Name, c.Took.Seconds(), c.ending())
	}
	fmt.Fprintln(&b)
	for _, r := range rules {
		fmt.Fprintf(&b, "%s  %-52s %-8s %4d of %d\n", r.number, r.title, s.verdict(r.number), s.checks[r.number]-s.failed[r.number], s.checks[r.number])
	}
	for i, f := range s.findings {
		if i == 0 {
			fmt.Fprintln(&b)
		}
		fmt.Fprintln(&b, f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeMarkdown(s *score, w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s\n\n| rule | | checks kept |\n| --- | --- | --- |\n", s.server(), s.began.Format(time.DateOnly))
	for _, r := range rules {
		fmt.Fprintf(&b, "| %s %s | %s | %d of %d |\n", r.number, r.title, s.verdict(r.number), s.checks[r.number]-s.failed[r.number], s.checks[r.number])
	}
	b.WriteString("\n| SIGTERM | took | status |\n| --- | --- | --- |\n")
	for _, c := range s.cases {
		fmt.Fprintf(&b, "| %s | %.2f s | %s |\n", c.Name, c.Took.Seconds(), c.ending())
	}
	for i, f := range s.findings {
		if i == 0 {
			fmt.Fprintln(&b)
		}
		fmt.Fprintf(&b, "- %s\n", f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeJSON(s *score, w io.Writer) error {
	type line struct {
		Rule   string `json:"rule"`
		Title  string `json:"title"`
		Checks int    `json:"checks"`
		Failed int    `json:"failed"`
	}
	out := struct {
		Server   string      `json:"server"`
		Date     string      `json:"date"`
		Rules    []line      `json:"rules"`
		Cases    []caseScore `json:"cases"`
		Findings []finding   `json:"findings"`
	}{Server: s.server(), Date: s.began.Format(time.DateOnly), Cases: s.cases, Findings: s.findings}
	for _, r := range rules {
		out.Rules = append(out.Rules, line{r.number, r.title, s.checks[r.number], s.failed[r.number]})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// A suite is the root of JUnit's XML, as CI systems read it: a test for each rule.
type suite struct {
	XMLName  xml.Name `xml:"testsuite"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Cases    []test   `xml:"testcase"`
}

type test struct {
	Name    string    `xml:"name,attr"`
	Class   string    `xml:"classname,attr"`
	Failure *failure  `xml:"failure"`
	Skipped *struct{} `xml:"skipped"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func writeJUnit(s *score, w io.Writer) error {
	out := suite{Name: s.server(), Tests: len(rules)}
	for _, r := range rules {
		t := test{Name: r.number + " " + r.title, Class: "drill"}
		var texts []string
		for _, f := range s.findings {
			if f.Rule == r.number {
				texts = append(texts, f.String())
			}
		}
		if len(texts) > 0 {
			out.Failures++
			t.Failure = &failure{fmt.Sprintf("broken in %d of %d checks", s.failed[r.number], s.checks[r.number]), strings.Join(texts, "\n")}
		} else if s.checks[r.number] == 0 {
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
