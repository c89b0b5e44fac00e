package harness

// EventSource.readyState (WHATWG HTML, 9.2.2). A closed EventSource never connects again.
const (
	Connecting = 0
	Open       = 1
	Closed     = 2
)

// A CloseEvent is the close event of a WebSocket in JavaScript (WHATWG WebSockets, section 6).
type CloseEvent struct {
	Code     int    `json:"code"`
	Reason   string `json:"reason"`
	WasClean bool   `json:"wasClean"`
}
