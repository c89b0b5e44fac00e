package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"html"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/request"
)

// hostile is what a server, or who wrote a route, might want in a report: the ends of lines, cells,
// code, elements and strings, commands to a terminal, bytes that are no text, a line that praises,
// and a word that is longer than a line.
var hostile = "\x1b[2J\r\n3.4  kept | a `b` ``` ]]></failure> <script> &amp; \" ' \x00\xff\u202e @octocat #1 www.example.com \\| \\" + strings.Repeat("long", 50)

// scored returns a score of a server that is hostile.
func scored(t *testing.T) *score {
	s := newScore(config{command: []string{"./server", "a\nb"}, url: url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	r, err := request.Parse("/a|`b`<i>")
	require.NoError(t, err)
	s.routes = []*route{{Request: r, ended: true}}
	s.begin("under load")
	s.check("3.1", "GET /a", true, "")
	s.check("3.4", r.Name(), false, "status %d: %s", 503, hostile)
	s.check("3.4", r.Name(), false, "status %d", 404)
	s.check("6.1", "", false, "it took SIGKILL")
	return s
}

// written returns the report of a score in a format, and checks that no character in it controls
// anything.
func written(t *testing.T, s *score, format string) string {
	var b bytes.Buffer
	require.NoError(t, reports[format](s, &b))
	text := b.String()
	assert.True(t, utf8.ValidString(text))
	for _, r := range text {
		assert.True(t, r == '\n' || unicode.IsPrint(r), "%q", r)
	}
	return text
}

func TestText(t *testing.T) {
	text := written(t, scored(t), "text")
	for line := range strings.Lines(text) {
		assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), width, line)
	}
	assert.Equal(t, 1, strings.Count(text, "\n3.4  event streams are not refused with a status        BROKEN       0 of 2\n"))
	assert.Contains(t, text, "\n3.4  GET /a|`b`<i>, under load, and once more: status 503: \\x1b[2J\\r\\n3.4  kept\n     | a")
	assert.Contains(t, text, "\n     "+pages+"#34\n\n6.1  under load: it took SIGKILL\n     "+pages+"#61\n\nBroken: 3.4, 6.1\n")
	assert.Len(t, regexp.MustCompile(`(?m)^3\.4`).FindAllString(text, -1), 2) // the rule and its finding

	s := newScore(config{pid: 12})
	s.begin("under load")
	assert.Contains(t, written(t, s, "text"), "process 12, ")
	assert.Contains(t, written(t, s, "text"), "\nNo rule is broken.\n")
}

func TestJSON(t *testing.T) {
	d := json.NewDecoder(strings.NewReader(written(t, scored(t), "json")))
	d.DisallowUnknownFields()
	var v document
	require.NoError(t, d.Decode(&v))
	assert.Equal(t, `./server a\nb`, v.Server)
	assert.True(t, v.Broken)
	assert.Len(t, v.Rules, len(rules))
	assert.Equal(t, jsonRule{"3.4", "event streams are not refused with a status", pages + "#34", 2, 2}, v.Rules[3])
	require.Len(t, v.Findings, 2)
	assert.Equal(t, 2, v.Findings[0].Times)
	assert.Equal(t, "GET /a|`b`<i>", v.Findings[0].Route)
	assert.True(t, strings.HasPrefix(v.Findings[0].Text, `status 503: \x1b[2J\r\n3.4  kept`))
	assert.Equal(t, []jsonRoute{{"GET /a|`b`<i>", "answer"}}, v.Routes)

	assert.NotContains(t, written(t, newScore(config{}), "json"), "null")
}

// TestJUnit reads the report with a parser, and checks what the schemas demand that are in use.
func TestJUnit(t *testing.T) {
	text := written(t, scored(t), "junit")
	var order []string
	attributes := map[string][]string{}
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			order = append(order, e.Name.Local)
			attributes[e.Name.Local] = nil
			for _, a := range e.Attr {
				attributes[e.Name.Local] = append(attributes[e.Name.Local], a.Name.Local)
			}
		}
	}
	assert.Equal(t, []string{"testsuite", "properties", "testcase"}, order[:3])
	assert.Equal(t, []string{"system-out", "system-err"}, order[len(order)-2:])
	assert.Equal(t, []string{"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"}, attributes["testsuite"])
	assert.Equal(t, []string{"name", "classname", "time"}, attributes["testcase"])
	assert.Equal(t, []string{"message", "type"}, attributes["failure"])
	assert.NotContains(t, attributes, "script")

	var v suite
	require.NoError(t, xml.Unmarshal([]byte(text), &v))
	assert.Equal(t, []int{len(rules), 2, 0, len(rules) - 3}, []int{v.Tests, v.Failures, v.Errors, v.Skipped})
	assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`, v.Timestamp)
	assert.Len(t, v.Cases, len(rules))
	for _, c := range v.Cases {
		switch number, _, _ := strings.Cut(c.Name, " "); number {
		case "3.4":
			assert.Equal(t, failure{"broken in 2 of 2 checks", "rule 3.4", scored(t).findings[0].String()}, *c.Failure)
		case "3.1", "6.1":
			assert.Nil(t, c.Skipped)
		default:
			assert.NotNil(t, c.Skipped)
			assert.Nil(t, c.Failure)
		}
	}
}

// TestMarkdown checks that all rows of a table have as many cells, and that nothing of a hostile
// text is markup.
func TestMarkdown(t *testing.T) {
	text := written(t, scored(t), "markdown")
	cells, tables := 0, 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		if cells == 0 {
			cells = strings.Count(line, "|")
			tables++
		}
		assert.Equal(t, cells, strings.Count(line, "|"), line)
	}
	assert.Equal(t, 4, tables)
	inCode := regexp.MustCompile(`<code>(.*?)</code>`)
	codes := inCode.FindAllStringSubmatch(text, -1)
	require.Len(t, codes, 5)
	assert.Equal(t, scored(t).findings[0].Text, html.UnescapeString(codes[2][1]))
	for _, c := range codes {
		assert.NotRegexp(t, "[<>|`*_\\[\\]~@:\\\\]|www\\.|#\\D", c[1])
	}
	assert.NotContains(t, inCode.ReplaceAllString(text, ""), "<")
	assert.Contains(t, text, "\n| [3.4]("+pages+"#34) event streams are not refused with a status | BROKEN | 0 of 2 |\n")
	assert.Contains(t, text, "\n| [6.1]("+pages+"#61) under load | <code>it took SIGKILL</code> | 1 |\n")
}
