package mcp

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
)

// A message is what Calls has to know of a JSON-RPC message.
type message struct {
	method  string
	id      string // as it stands in the message; empty: none, or null, or no string or number
	cancels string // of notifications/cancelled: params.requestId, as id
	resumes bool   // it is a call with params.inputResponses, which goes on with an earlier one
}

// isCall reports whether the message is to be answered.
func (m message) isCall() bool { return m.method != "" && m.id != "" }

// isNewCall reports whether the message is a call that doesn't go on with an earlier one. From
// protocol version 2026-07-28 on a client answers a server's request by the same call again
// (SEP-2322).
func (m message) isNewCall() bool { return m.isCall() && !m.resumes }

// isAnswer reports whether the message answers another one.
func (m message) isAnswer() bool { return m.method == "" && m.id != "" }

// canonicalID returns one form of an id for every way to write it. Libraries keep numbers as
// float64.
func canonicalID(id string) string {
	if strings.HasPrefix(id, `"`) {
		return `"` + unquote(id)
	}
	if n, err := strconv.ParseFloat(id, 64); err == nil {
		return strconv.FormatFloat(n+0, 'g', -1, 64) // minus zero is zero
	}
	return id
}

func unquote(token string) (s string) {
	_ = json.Unmarshal([]byte(token), &s)
	return s
}

// subscriptionResult returns the message that ends the subscription whose request had this id.
func subscriptionResult(id string) string {
	id = strings.ReplaceAll(id, "{", `\u007b`) // or {retry} in it would be replaced
	return `{"jsonrpc":"2.0","id":` + id +
		`,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":` + id + `}}}`
}

// refusal returns the event that refuses the call with this id.
func refusal(id string, slot time.Duration) []byte {
	ms := strconv.FormatInt(slot.Milliseconds(), 10)
	return format.AppendEvent(nil, 0, "message", `{"jsonrpc":"2.0","id":`+id+
		`,"error":{"code":-32050,"message":"the server is shutting down; please call again","data":{"retry":`+ms+`}}}`)
}

// maxToken is how long a key, an id or a method's name may be, as it stands in the message. A
// longer one counts as none.
const maxToken = 4096

// A scanner follows the bytes of a JSON-RPC message, or of a batch of them, and keeps only what it
// looks for. It checks no syntax: in what is not JSON it may find anything. The zero scanner has
// seen nothing.
type scanner struct {
	found []message // those that are complete

	begun    bool // a byte other than white space has come
	batch    bool // the value is an array
	ended    bool // the value is complete
	open     bool // current has begun and isn't complete
	current  message
	answers  bool // current has a result or an error, or is about to have one
	depth    int  // brackets that are open
	inString bool
	escaped  bool  // the byte before was a backslash that escapes this one
	message  level // of the message's own members
	member   level // of what one of them holds
	keeping  bool  // the token that is being read is a key or a value to look for
	token    []byte
}

// A level is an object or an array in which the scanner knows where it is.
type level struct {
	object  bool   // not an array
	wantKey bool   // the next token is a key
	key     string // the last one
}

func (s *scanner) Write(p []byte) (int, error) {
	for _, c := range p {
		s.writeByte(c)
	}
	return len(p), nil
}

func (s *scanner) writeByte(c byte) {
	if s.inString {
		s.keep(c)
		switch {
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			s.inString = false
			s.endToken()
		}
		return
	}
	switch c {
	case ' ', '\t', '\n', '\r':
		s.endToken()
		return
	case '"':
		s.startToken()
		s.inString = true
		s.keep(c)
	case '{', '[':
		s.endToken()
		s.openBracket(c)
	case '}', ']':
		s.endToken()
		s.closeBracket()
	case ',', ':':
		s.endToken()
		if l := s.level(); l != nil {
			l.wantKey = l.object && c == ','
		}
	default:
		if !s.keeping {
			s.startToken()
		}
		s.keep(c)
	}
	s.begun = true
}

// level returns the level that the scanner is in, nil where it doesn't look for anything.
func (s *scanner) level() *level {
	depth := s.depth
	if s.batch {
		depth--
	}
	switch depth {
	case 1:
		return &s.message
	case 2:
		return &s.member
	default:
		return nil
	}
}

// place returns for which field of current a value stands here: "id", "method" or "cancels". It
// returns the empty string for any other value.
func (s *scanner) place() string {
	l := s.level()
	switch {
	case !s.open || l == nil || !l.object || l.wantKey:
		return ""
	case l == &s.message && (l.key == "id" || l.key == "method"):
		return l.key
	case l == &s.member && s.message.key == "params" && l.key == "requestId":
		return "cancels"
	default:
		return ""
	}
}

func (s *scanner) openBracket(c byte) {
	if !s.begun {
		s.batch = c == '['
	}
	s.set(s.place(), "")
	if s.level() == &s.message && s.message.key == "params" {
		s.current.cancels, s.current.resumes = "", false
	}
	s.depth++
	if l := s.level(); l != nil {
		*l = level{object: c == '{', wantKey: c == '{'}
		if l == &s.message && !s.ended {
			s.open, s.answers, s.current = l.object, false, message{}
		}
	}
}

func (s *scanner) closeBracket() {
	if s.level() == &s.message && s.open {
		s.open = false
		if s.current.method != "" || s.current.id != "" { // of a batch of others nothing is kept
			s.found = append(s.found, s.current)
		}
	}
	if s.depth--; s.depth <= 0 {
		s.depth, s.ended = 0, true
	}
}

// startToken keeps the token that begins here if it is a key or a value to look for.
func (s *scanner) startToken() {
	l := s.level()
	s.keeping = l != nil && l.object && s.open && (l.wantKey || s.place() != "")
	s.token = s.token[:0]
}

func (s *scanner) keep(c byte) {
	if s.keeping && len(s.token) <= maxToken {
		s.token = append(s.token, c)
	}
}

func (s *scanner) endToken() {
	if !s.keeping {
		return
	}
	s.keeping = false
	token := string(s.token)
	if len(token) > maxToken {
		token = ""
	}
	if l := s.level(); l.wantKey {
		l.key = unquote(token)
		switch {
		case l == &s.message:
			s.answers = s.answers || l.key == "result" || l.key == "error"
		case s.message.key == "params" && l.key == "inputResponses":
			s.current.resumes = true
		}
		return
	}
	s.set(s.place(), token)
}

// set sets a member of the current message. Of several of one name the last counts, as in package
// encoding/json.
func (s *scanner) set(member, token string) {
	if token == "null" || token == "true" || token == "false" {
		token = ""
	}
	switch member {
	case "id":
		s.current.id = token
	case "method":
		s.current.method = unquote(token)
	case "cancels":
		s.current.cancels = token
	}
}
