package format

import (
	"encoding/json"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// connectStream is a body of a streaming call of the Connect protocol, whose status is in its last
// message.
type connectStream struct{ messageBody }

// endOfStream is the flag of the message with Connect's status.
const endOfStream = 0x02

func (*connectStream) Name() string { return Connect }

func (*connectStream) AppendFarewell(b []byte, f policy.Farewell, retry time.Duration) []byte {
	var end struct {
		Error    connectError        `json:"error"`
		Metadata map[string][]string `json:"metadata"`
	}
	end.Error = connectError{"unavailable", f.Reason}
	end.Metadata = map[string][]string{"grpc-retry-pushback-ms": {pushback(f, retry)}}
	text, _ := json.Marshal(end) // strings only
	return appendMessage(b, endOfStream, text)
}

// A connectError is the JSON form of an error in the Connect protocol.
type connectError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
