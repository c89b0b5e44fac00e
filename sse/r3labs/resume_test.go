package r3labs_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	r3 "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse/r3labs"
)

func TestLastEventID(t *testing.T) {
	for id, from := range map[string]int{
		"": 0, "0": 1, "1": 2, "2": 3, "7": 3, "-1": 0, "-9": 0,
		"9223372036854775807": 0, "99999999999999999999": 0, "a1": 0, "1.5": 0,
	} {
		t.Run("id "+id, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &r3labs.Handler{Server: r3.New()}, policy.Rule{})
				for n := range 3 {
					r.publish(fmt.Sprint(n))
				}
				synctest.Wait()
				s := r.subscribe("Last-Event-ID", id)
				for n := from; n < 3; n++ {
					event, err := s.next()
					require.NoError(t, err)
					assert.Equal(t, fmt.Sprintf("id: %d\ndata: %d", n, n), event)
				}
				r.drain()
				rest, err := s.rest()
				require.NoError(t, err)
				require.Len(t, rest, 1, "the farewell")
				assert.Regexp(t, farewell, rest[0])
				r.end()
			})
		})
	}
}

// A client that comes back to a server with the same log gets each event once.
func TestResumeAfterDrainAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log, seen []string
		publish := func(r *rig) {
			log = append(log, fmt.Sprint("event ", len(log)))
			r.publish(log[len(log)-1])
		}
		last := ""
		for run := range 4 {
			r := start(t, &r3labs.Handler{Server: r3.New()}, policy.Rule{})
			for _, data := range log { // as a server does that keeps its log somewhere
				r.publish(data)
			}
			publish(r)
			synctest.Wait()
			s := r.subscribe("Last-Event-ID", last)
			for range run * 7 {
				publish(r)
			}
			time.AfterFunc(time.Second, r.stop)
			for {
				event, err := s.next()
				require.NoError(t, err)
				var id, data string
				if n, _ := fmt.Sscanf(event, "id: %s\ndata: event %s", &id, &data); n != 2 {
					require.Regexp(t, farewell, event)
					break
				}
				last, seen = id, append(seen, "event "+data)
			}
			s.Close()
			publish(r) // too late for this client
			synctest.Wait()
			r.end()
		}
		assert.Equal(t, log[:len(log)-1], seen)
	})
}

// Without replay the library sends empty ids, and the client would lose the last that it had.
func TestNoEmptyID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &r3labs.Handler{Server: r3.New()}
		h.Server.AutoReplay = false
		r := start(t, h, policy.Rule{})
		s := r.subscribe("Last-Event-ID", "not a number")
		synctest.Wait()
		r.publish("plain")
		h.Server.Publish("s", &r3.Event{ID: []byte("x7"), Data: []byte("own id"), Event: []byte("e"), Retry: []byte("5")})
		h.Server.Publish("s", &r3.Event{Comment: []byte("only a comment")})
		for _, want := range []string{"data: plain", "id: x7\ndata: own id\nevent: e\nretry: 5", ": only a comment"} {
			event, err := s.next()
			require.NoError(t, err)
			assert.Equal(t, want, event)
		}
		s.Close()
		r.end()
	})
}
