package middleware_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestShedTellsAPartAtPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
		r := serve(t, d, http.HandlerFunc(quiet))
		ends := r.watchAll(100)
		began := time.Now()
		shed, err := d.Shed(context.Background(), middleware.ShedOptions{Fraction: 0.041, Rule: policy.Rule{
			Spread: 20 * time.Millisecond, Farewell: policy.Farewell{Data: "move"},
		}})
		require.NoError(t, err)
		assert.Equal(t, middleware.ShedResult{Picked: 5, Outcomes: middleware.Outcomes{Told: 5}}, shed)
		told := finished(ends)
		assert.Len(t, told, 5)
		var moments []time.Duration
		for _, e := range told {
			require.NoError(t, e.err)
			assert.Regexp(t, `^retry: \d{4}\nevent: shutdown\ndata: move\n\n$`, e.text)
			moments = append(moments, e.at.Sub(began))
		}
		slices.Sort(moments)
		for i, at := range moments {
			assert.InDelta(t, time.Duration(i)*4*time.Millisecond+time.Millisecond, at, float64(time.Millisecond)+1, "%v", moments)
		}
		assert.Equal(t, middleware.Serving, d.Report().Phase)
		assert.Equal(t, middleware.Outcomes{Told: 5}, d.Report().Before)
		assert.False(t, schedulerRuns())

		r.drain()
		assert.EqualValues(t, 95, r.endsAfter(0).Told)
		for _, e := range finished(ends) {
			assert.NotContains(t, e.text, "move", "what a Share says is for those that it picks")
		}
	})
}

func TestWhoIsShed(t *testing.T) {
	first := func(i int) bool { return i < 10 }
	last := func(i int) bool { return i >= 20 }
	any := func(int) bool { return true }
	for name, c := range map[string]struct {
		share middleware.ShedOptions
		want  int
		among func(i int) bool
	}{
		"a number":           {middleware.ShedOptions{N: 10}, 10, any},
		"more than there is": {middleware.ShedOptions{N: 1000}, 30, any},
		"all":                {middleware.ShedOptions{Fraction: 1}, 30, any},
		"the least fraction": {middleware.ShedOptions{Fraction: 1e-9}, 1, any},
		"the oldest":         {middleware.ShedOptions{N: 10, Rule: policy.Rule{Order: policy.OldestFirst}}, 10, first},
		"the youngest":       {middleware.ShedOptions{N: 10, Rule: policy.Rule{Order: policy.YoungestFirst}}, 10, last},
		"half of some": {middleware.ShedOptions{Fraction: 0.5, Match: func(r *stream.Response) bool { return r.Age() > 20*time.Second }},
			5, first},
		"none": {middleware.ShedOptions{N: 5, Match: func(*stream.Response) bool { return false }}, 0, any},
		"with fields that a Shed ignores": {middleware.ShedOptions{N: 5, Rule: policy.Rule{
			Kind: policy.Finite, Grace: policy.ToTheEnd, MaxAge: policy.ToTheEnd, Priority: 9}}, 5, any},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Grace: 20 * time.Second}}
				r := serve(t, d, http.HandlerFunc(quiet))
				ends := r.watchAll(30)
				began := time.Now()
				shed, err := d.Shed(context.Background(), c.share)
				require.NoError(t, err)
				assert.LessOrEqual(t, time.Since(began), policy.AtOnce, "the grace of a drain is none here")
				want := uint64(c.want)
				assert.Equal(t, middleware.ShedResult{Picked: c.want, Outcomes: middleware.Outcomes{Told: want}}, shed)
				told := finished(ends)
				assert.Len(t, told, c.want)
				for i, e := range told {
					assert.True(t, e.told())
					assert.True(t, c.among(i), "%d", i)
				}
				_, err = r.end()
				require.NoError(t, err)
				assert.EqualValues(t, 30-want, d.Report().Told)
			})
		})
	}
}

// Neither what ends by itself nor what its rule leaves alone is picked, nor anything twice.
func TestWhoIsNotShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var routes policy.Mux
		routes.Handle("/tunnel", policy.LeaveAlone())
		d := &middleware.Drainer{Policy: &routes}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/answer" {
				stream.Tag(r.Context(), policy.Finite)
			}
			quiet(w, r)
		}))
		answer, tunnel, events := r.watch("/answer"), r.watch("/tunnel"), r.watch("/events")
		type result struct {
			middleware.ShedResult
			error
		}
		results := make(chan result, 2)
		for range 2 {
			go func() {
				shed, err := d.Shed(context.Background(), middleware.ShedOptions{Fraction: 1})
				results <- result{shed, err}
			}()
		}
		var picked int
		for range 2 {
			got := <-results
			require.NoError(t, got.error)
			picked += got.Picked
		}
		assert.Equal(t, 1, picked)
		assert.True(t, (<-events).told())
		assert.Equal(t, middleware.Tally{Finite: 1, SSE: 1}, d.Report().Open)
		r.drain()
		_, err := r.end()
		require.NoError(t, err)
		assert.False(t, (<-answer).told())
		<-tunnel
	})
}

func TestShedIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second}}
		r := serve(t, d, http.HandlerFunc(quiet))
		ends := r.watchAll(100)
		ctx, stop := context.WithCancel(context.Background())
		time.AfterFunc(200*time.Millisecond+1, stop) // in the middle of 400 ms, the slowest pace
		shed, err := d.Shed(ctx, middleware.ShedOptions{N: 80, Rule: policy.Rule{Spread: time.Hour}})
		require.ErrorIs(t, err, context.Canceled)
		assert.EqualError(t, err, "middleware: Shed: ended early: context canceled")
		assert.InDelta(t, 40, shed.Picked, 1, "those that had been told")
		assert.Zero(t, shed.All(), "whose end it doesn't wait for")
		time.Sleep(time.Hour)
		assert.Len(t, finished(ends), shed.Picked, "the rest stays")
		assert.EqualValues(t, shed.Picked, d.Report().Before.Told)
		assert.False(t, schedulerRuns())
		r.drain()
		assert.EqualValues(t, 100-shed.Picked, r.endsAfter(time.Second).Told)
	})
}

// A Shed that is under way as the drain begins goes on while that is announced, and is taken over
// by it then. One that comes later picks nothing.
func TestShedInADrain(t *testing.T) {
	for name, c := range map[string]struct {
		announce time.Duration
		shed     int // are told what the Share says
	}{
		"announced": {5 * time.Second, 5},
		"at once":   {0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{
					Policy: policy.Rule{Timeout: policy.AtOnce, Farewell: policy.Farewell{Data: "drain"}},
					Budget: policy.Budget{Total: 25 * time.Second, Announce: c.announce},
				}
				r := serve(t, d, http.HandlerFunc(quiet))
				ends := r.watchAll(100)
				done := make(chan middleware.ShedResult, 1)
				go func() {
					shed, err := d.Shed(context.Background(), middleware.ShedOptions{Fraction: 0.05, Rule: policy.Rule{
						Spread: 20 * time.Millisecond, Timeout: 7 * time.Second, Farewell: policy.Farewell{Data: "shed"},
					}})
					assert.NoError(t, err)
					done <- shed
				}()
				time.Sleep(11 * time.Millisecond) // three have been told: at 0, 4 and 8 ms, and up to 2 ms later
				r.drain()
				late, err := d.Shed(context.Background(), middleware.ShedOptions{N: 1})
				assert.EqualError(t, err, "middleware: Shed: the drain has begun, and tells every stream")
				assert.Zero(t, late)

				took, err := r.end()
				require.NoError(t, err)
				assert.InDelta(t, 7*time.Second, took, float64(25*time.Millisecond), "those told before have the time they were told")
				assert.Equal(t, middleware.ShedResult{Picked: 5, Outcomes: middleware.Outcomes{Told: 5}}, <-done)
				assert.Equal(t, middleware.Outcomes{Told: 100}, d.Report().Outcomes)
				shed := 0
				for _, e := range finished(ends) {
					if strings.Contains(e.text, "data: shed") {
						shed++
						assert.InDelta(t, 7*time.Second, e.at.Sub(r.began), float64(25*time.Millisecond))
					}
				}
				assert.Equal(t, c.shed, shed)
				_, err = d.Shed(context.Background(), middleware.ShedOptions{N: 1})
				assert.Error(t, err, "it is over")
			})
		})
	}
}

// Streams that a Shed picked, and a drain had to cut or to give up, are counted too.
func TestShedCountsTheStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second, Mercy: time.Second}}
		stay := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			quiet(w, r)
			if r.URL.Path == "/stubborn" {
				<-stay
			}
		}))
		stubborn := r.watch("/stubborn")
		stuck := r.stuck("/stuck")
		defer stuck.Close()
		synctest.Wait()
		done := make(chan middleware.ShedResult, 1)
		go func() {
			shed, err := d.Shed(context.Background(), middleware.ShedOptions{Fraction: 1, Match: func(r *stream.Response) bool {
				return r.Kind() == policy.Infinite
			}})
			assert.NoError(t, err)
			done <- shed
		}()
		time.Sleep(time.Minute) // the stubborn one has been cut, and still runs
		_, err := r.end()
		require.ErrorContains(t, err, "/stubborn")
		shed := <-done
		assert.EqualValues(t, shed.Picked, shed.Cut, "%+v", shed)
		assert.Positive(t, shed.Cut)
		close(stay)
		assert.Error(t, (<-stubborn).err)
	})
}

func TestShedFaults(t *testing.T) {
	d := &middleware.Drainer{}
	for want, share := range map[string]middleware.ShedOptions{
		"middleware: ShedOptions.Fraction is 0 and N is 0; set one of them":   {},
		"middleware: ShedOptions.Fraction is 0.5 and N is 2; set one of them": {Fraction: 0.5, N: 2},
		"middleware: ShedOptions.Fraction is 1.5; use 0 to 1":                 {Fraction: 1.5},
		"middleware: ShedOptions.Fraction is -1; use 0 to 1":                  {Fraction: -1},
		"middleware: ShedOptions.Fraction is NaN; use 0 to 1":                 {Fraction: math.NaN()},
		"middleware: ShedOptions.N is -1; use zero or more":                   {N: -1},
		"policy: Timeout is -1s; use zero or more":                            {N: 1, Rule: policy.Rule{Timeout: -time.Second}},
	} {
		shed, err := d.Shed(context.Background(), share)
		assert.EqualError(t, err, want)
		assert.Zero(t, shed)
	}
}

// The client of an HTTP/1.1 stream is not to come back over the same connection, which leads to the
// same replica. Others' connections stay.
func TestShedClosesTheConnectionOfItsStreams(t *testing.T) {
	for _, secure := range []bool{false, true} {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
		srv := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/short" {
				_, _ = io.WriteString(w, "short")
				return
			}
			quiet(w, r)
		})))
		srv.Config.ConnContext = d.ConnContext
		if secure {
			srv.StartTLS()
		} else {
			srv.Start()
		}
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		require.NoError(t, err)
		if secure {
			conn = tlsClient(conn)
		}
		from := bufio.NewReader(conn)
		ask := func(path string) *http.Response {
			_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n", path)
			require.NoError(t, err)
			res, err := http.ReadResponse(from, nil)
			require.NoError(t, err)
			return res
		}
		short, err := io.ReadAll(ask("/short").Body)
		require.NoError(t, err)
		assert.Equal(t, "short", string(short))
		events := ask("/events")
		first := make([]byte, len(hello))
		_, err = io.ReadFull(events.Body, first)
		require.NoError(t, err)

		shed, err := d.Shed(context.Background(), middleware.ShedOptions{N: 1})
		require.NoError(t, err)
		assert.EqualValues(t, 1, shed.Told)
		rest, err := io.ReadAll(events.Body)
		require.NoError(t, err, "the response ends in order")
		assert.True(t, strings.HasPrefix(string(rest), "retry: "), "%q", rest)
		_, err = from.ReadByte()
		assert.ErrorIs(t, err, io.EOF, "and then the connection")
		conn.Close()
		srv.Close()
		require.NoError(t, d.Shutdown(context.Background()))
	}
}

func tlsClient(c net.Conn) net.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // of a test server's own certificate
}

// Under a context that has ended nothing is told, nor is Match called.
func TestShedUnderAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}
		r := serve(t, d, http.HandlerFunc(quiet))
		end := r.watch("/")
		ended, stop := context.WithCancel(context.Background())
		stop()
		shed, err := d.Shed(ended, middleware.ShedOptions{N: 1, Match: func(*stream.Response) bool { t.Error("was asked"); return true }})
		require.EqualError(t, err, "middleware: Shed: ended early: context canceled")
		assert.Zero(t, shed)
		r.drain()
		assert.EqualValues(t, 1, r.endsAfter(3*time.Second).Told)
		<-end
	})
}

// In binary 28 % of 25 is a hair over 7, which must not be rounded up.
func TestShedPicksNoneTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}
		r := serve(t, d, http.HandlerFunc(quiet))
		ends := r.watchAll(25)
		shed, err := d.Shed(context.Background(), middleware.ShedOptions{Fraction: 0.28})
		require.NoError(t, err)
		assert.Equal(t, 7, shed.Picked)
		assert.Len(t, finished(ends), 7)
		r.drain()
		assert.EqualValues(t, 18, r.endsAfter(3*time.Second).Told)
	})
}

// Match is called for streams only.
func TestMatchSeesStreamsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		stay := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				quiet(w, r)
				return
			}
			<-stay
		}))
		slow, events := r.getAsync("/slow"), r.watch("/events")
		synctest.Wait()
		shed, err := d.Shed(context.Background(), middleware.ShedOptions{N: 9, Match: func(r *stream.Response) bool {
			assert.Equal(t, "GET /events", r.Route())
			return true
		}})
		require.NoError(t, err)
		assert.Equal(t, 1, shed.Picked)
		<-events
		close(stay)
		assert.NoError(t, (<-slow).err)
		r.drain()
		r.endsAfter(0)
	})
}

// A stream that its handler tags finite between its being picked and its slot is let finish.
func TestShedSparesWhatTurnsOutToBeFinite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			startEvents(w, hello)
			if r.URL.Path != "/answer" {
				<-r.Context().Done()
				return
			}
			time.Sleep(time.Millisecond) // before its slot, which is the second: at 5 ms at the earliest
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(time.Minute)
			assert.NoError(t, r.Context().Err())
			_, _ = io.WriteString(w, "data: done\n\n")
		}))
		old := r.watch("/old")
		time.Sleep(time.Second)
		answer := make(chan transcript, 1)
		go func() { answer <- <-r.watch("/answer") }()
		synctest.Wait()
		shed, err := d.Shed(context.Background(), middleware.ShedOptions{N: 2, Rule: policy.Rule{Spread: time.Hour, Order: policy.OldestFirst}})
		require.NoError(t, err)
		assert.Equal(t, middleware.ShedResult{Picked: 1, Outcomes: middleware.Outcomes{Told: 1}}, shed)
		assert.True(t, (<-old).told())
		e := <-answer
		require.NoError(t, e.err)
		assert.Equal(t, "data: done\n\n", e.text)
		r.drain()
		r.endsAfter(0)
	})
}
