package middleware_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// The handler of an encoded stream may learn of its cancel a moment late, and still end the
// encoding. One that never looks is ended by an error halfway to the cut.
func TestEncodedStreamWhoseHandlerLearnsLateOfItsCancel(t *testing.T) {
	for _, looks := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, Timeout: policy.AtOnce, Mercy: time.Second}}
			h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Content-Encoding", "gzip")
				_, err := io.WriteString(w, "one")
				require.NoError(t, err)
				d.Start()
				time.Sleep(400 * time.Millisecond)
				_, err = io.WriteString(w, "two")
				assert.NoError(t, err)
				if looks {
					<-r.Context().Done()
				}
				time.Sleep(200 * time.Millisecond)
				_, err = io.WriteString(w, "end")
				assert.Equal(t, !looks, errors.Is(err, stream.ErrDraining), "%v", err)
			}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Accept", "text/event-stream")
			r.Header.Set("Cache-Control", "no-cache")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, looks, w.Body.String() == "onetwoend", "%s", w.Body)
			require.NoError(t, d.Shutdown(t.Context()))
			assert.EqualValues(t, 1, d.Report().Canceled)
		})
	}
}
