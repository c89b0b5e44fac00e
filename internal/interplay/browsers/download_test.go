package browsers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// A download is a body that takes its time. The same bytes come to all; but one that is asked for with "slow" in its query
// is a single byte too slow for its rule: the last is due when its rule has it cancelled.
type download struct {
	lasts time.Duration
	bytes []byte
	begun chan struct{} // gets one for each that is under way
}

// pieces is how many a download comes in, but for its last byte.
const pieces = 100

func newDownload(lasts time.Duration) *download {
	d := &download{lasts: lasts, bytes: make([]byte, pieces<<16+1), begun: make(chan struct{}, len(queries))}
	_, _ = rand.NewChaCha8([32]byte{}).Read(d.bytes)
	return d
}

// rule gives the download the time that it takes, and some for a slow machine.
func (d *download) rule() policy.Rule {
	return policy.Rule{Grace: d.lasts + d.lasts/10 + time.Second}
}

func (d *download) budget() policy.Budget {
	return policy.Budget{Total: d.rule().Grace + 2*time.Second, Reserve: time.Second}
}

func (d *download) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	if query.Has("length") {
		w.Header().Set("Content-Length", strconv.Itoa(len(d.bytes)))
	}
	pace := time.NewTicker(d.lasts / pieces)
	defer pace.Stop()
	whole := bytes.NewReader(d.bytes)
	for i := range pieces {
		if _, err := io.CopyN(w, whole, 1<<16); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		if i == 0 {
			d.begun <- struct{}{}
		}
		select {
		case <-pace.C:
		case <-r.Context().Done():
			return
		}
	}
	if query.Has("slow") {
		<-r.Context().Done()
		return
	}
	_, _ = io.Copy(w, whole)
}

// A receipt is what a client has of a download.
type receipt struct {
	Bytes int    `json:"bytes"`
	Sum   string `json:"sum"` // SHA-256
	End   string `json:"end"` // "whole", or what its client says of the end
}

// A receiver makes a receipt of what is written to it.
type receiver struct {
	bytes int
	sum   hash.Hash
}

func newReceiver() *receiver { return &receiver{sum: sha256.New()} }

func (r *receiver) Write(p []byte) (int, error) {
	r.bytes += len(p)
	return r.sum.Write(p)
}

func (r *receiver) receipt(end string) receipt {
	return receipt{r.bytes, hex.EncodeToString(r.sum.Sum(nil)), end}
}

// lasting is how long a download takes.
func lasting(t *testing.T) time.Duration {
	said := os.Getenv("LASTCALL_DOWNLOAD")
	if said == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(said)
	require.NoError(t, err, "LASTCALL_DOWNLOAD")
	return d
}

const whole = "whole"

// queries ask for a download in each way, the last two for one that is too slow.
var queries = []string{"", "length", "slow", "slow&length"}

// TestDownload drains a server in the middle of long downloads. Those that fit their rule arrive byte for byte, and every
// client knows of those that are one byte too slow for it that they are not whole.
func TestDownload(t *testing.T) {
	clients := []struct {
		name     string
		protocol protocol
		fetch    func(t *testing.T, s *server) (receipts func() []receipt)
		torn     string // a pattern: what the client says of a body that isn't whole
	}{
		{"Go", http1, fetchByGo, `^unexpected EOF$`},
		{"Go", h2c, fetchByGo, `stream error|GOAWAY`},
		{"Go", h2, fetchByGo, `stream error|GOAWAY`},
		{"curl", http1, fetchByCurl, `^exit 18: `},
		{"curl", h2c, fetchByCurl, `^exit (92|18): `},
		{"curl", h2, fetchByCurl, `^exit (92|18): `},
		{"Chromium", http1, fetchByChromium, `^TypeError: `},
		{"Chromium", h2, fetchByChromium, `^TypeError: `},
	}
	for _, c := range clients {
		t.Run(c.name+" over "+c.protocol.scheme+" "+c.protocol.name, func(t *testing.T) {
			t.Parallel()
			d := newDownload(lasting(t))
			s := serve(t, c.protocol, "127.0.0.1:0", site{name: "old", download: d})
			receipts := c.fetch(t, s)
			limited, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for range queries {
				select {
				case <-d.begun:
				case <-limited.Done():
					require.FailNow(t, "the downloads don't begin")
				}
			}
			began := time.Now()
			s.drain(t)
			took := time.Since(began)
			got := receipts()

			sum := sha256.Sum256(d.bytes)
			for i, query := range queries {
				if i < 2 {
					assert.Equal(t, receipt{len(d.bytes), hex.EncodeToString(sum[:]), whole}, got[i], query)
					continue
				}
				assert.Regexp(t, c.torn, got[i].End, query)
				assert.Less(t, got[i].Bytes, len(d.bytes), query)
				assert.Greater(t, got[i].Bytes, len(d.bytes)/2, query)
			}
			report := s.drainer.Report()
			assert.EqualValues(t, 2, report.Completed, "%+v", report)
			assert.EqualValues(t, 2, report.Cut, "%+v", report)
			assert.GreaterOrEqual(t, took, d.rule().Grace)
			t.Logf("drained in %v; the slow ones came to %d bytes of %d (%s) and to %d (%s)", took.Round(time.Millisecond),
				got[2].Bytes, len(d.bytes), got[2].End, got[3].Bytes, got[3].End)
		})
	}
}

// fetchAll has a client fetch a download in each way, at once.
func fetchAll(s *server, fetch func(url string) receipt) func() []receipt {
	var fetching sync.WaitGroup
	got := make([]receipt, len(queries))
	for i, query := range queries {
		fetching.Go(func() { got[i] = fetch(s.url("/download?" + query)) })
	}
	return func() []receipt {
		fetching.Wait()
		return got
	}
}

func fetchByGo(t *testing.T, s *server) func() []receipt {
	speaks := new(http.Protocols)
	speaks.SetHTTP1(s.name == http1.name)
	speaks.SetHTTP2(s.scheme == h2.scheme)
	speaks.SetUnencryptedHTTP2(s.name == h2c.name && s.scheme == h2c.scheme)
	transport := &http.Transport{Protocols: speaks, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return fetchAll(s, func(url string) receipt {
		res, err := (&http.Client{Transport: transport}).Get(url)
		if err != nil {
			return receipt{End: err.Error()}
		}
		defer res.Body.Close()
		assert.Equal(t, s.name, res.Proto)
		r := newReceiver()
		if _, err := io.Copy(r, res.Body); err != nil {
			return r.receipt(err.Error())
		}
		return r.receipt(whole)
	})
}

func fetchByCurl(t *testing.T, s *server) func() []receipt {
	curl := program(t, "LASTCALL_CURL", "curl")
	return fetchAll(s, func(url string) receipt {
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"--silent", "--show-error", "--no-buffer", url}, s.curl...)...)
		r := newReceiver()
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = r, &stderr
		var exit *exec.ExitError
		switch err := cmd.Run(); {
		case err == nil:
			return r.receipt(whole)
		case errors.As(err, &exit):
			return r.receipt(fmt.Sprintf("exit %d: %s", exit.ExitCode(), strings.TrimSpace(stderr.String())))
		default:
			return receipt{End: err.Error()}
		}
	})
}

func fetchByChromium(t *testing.T, s *server) func() []receipt {
	p := open(t, s.url("/"))
	for i, query := range queries {
		p.do(fmt.Sprintf(`download("download%d", "/download?%s")`, i, query))
	}
	return func() (got []receipt) {
		for i := range queries {
			name := fmt.Sprintf("lastcall.download%d", i)
			p.until(name + ".end")
			got = append(got, value[receipt](p, name))
		}
		return got
	}
}
