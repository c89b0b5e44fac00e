package request_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/request"
)

// A handler may close the body, or return, while it is read and doesn't come.
func TestAsHTTP2(t *testing.T) {
	for name, closes := range map[string]bool{"closes the body": true, "returns": false} {
		t.Run(name, func(t *testing.T) {
			read := make(chan error, 1)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner := &noted{r.Body, make(chan struct{}, 10)}
				r.Body = inner
				defer request.AsHTTP2(w, r)()
				assert.Equal(t, "HTTP/2.0", r.Proto)
				assert.True(t, r.ProtoAtLeast(2, 0))
				_, err := io.ReadFull(r.Body, make([]byte, 4))
				assert.NoError(t, err)
				for len(inner.reads) > 0 {
					<-inner.reads
				}
				go func() {
					_, err := r.Body.Read(make([]byte, 1))
					read <- err
				}()
				<-inner.reads
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
				_, _ = io.WriteString(w, "answer")
				if closes {
					_ = r.Body.Close()
				}
			}))
			defer srv.Close()
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf")
			require.NoError(t, err)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			var body strings.Builder
			_, err = io.Copy(&body, res.Body)
			require.NoError(t, err)
			assert.Equal(t, "answer", body.String())
			assert.Error(t, <-read)
		})
	}
}

// noted notes each Read that begins.
type noted struct {
	io.ReadCloser
	reads chan struct{}
}

func (n *noted) Read(p []byte) (int, error) {
	n.reads <- struct{}{}
	return n.ReadCloser.Read(p)
}
