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

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/policy"
)

// A download is a body that takes some time, with the same bytes for every request. If the query
// has "slow", the last byte is due when the rule has the handler canceled, and never comes.
type download struct {
	lasts   time.Duration
	bytes   []byte
	started chan struct{} // receives once for each request
}

// pieces is how many pieces a download is written in, without its last byte.
const pieces = 100

func newDownload(lasts time.Duration) *download {
	d := &download{lasts: lasts, bytes: make([]byte, pieces<<16+1), started: make(chan struct{}, len(queries))}
	_, _ = rand.NewChaCha8([32]byte{}).Read(d.bytes)
	return d
}

// rule returns a rule with as much grace as the download takes, and some more for a slow machine.
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
	start := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	whole := bytes.NewReader(d.bytes)
	for i := range pieces {
		if _, err := io.CopyN(w, whole, 1<<16); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		if i == 0 {
			d.started <- struct{}{}
		}
		// By the time since the start, so that a slow piece doesn't make all that follow late.
		next.Reset(time.Until(start.Add(time.Duration(i+1) * d.lasts / pieces)))
		select {
		case <-next.C:
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

// A receipt is what a client has received of a download.
type receipt struct {
	Bytes int    `json:"bytes"`
	Sum   string `json:"sum"` // SHA-256
	End   string `json:"end"` // "whole", or the error
}

// A receiver counts and hashes what is written to it, for a receipt.
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

// downloadTime returns how long downloads take.
func downloadTime(t *testing.T) time.Duration {
	s := os.Getenv("LASTCALL_DOWNLOAD")
	if s == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(s)
	require.NoError(t, err, "LASTCALL_DOWNLOAD")
	return d
}

const whole = "whole"

// queries are those of the downloads. The last two are too slow.
var queries = []string{"", "length", "slow", "slow&length"}

// TestDownload drains a server in the middle of long downloads. Those that fit their rule arrive
// byte for byte. Of those that lack one byte when their time is up, every client has to know that
// they are not whole.
func TestDownload(t *testing.T) {
	clients := []struct {
		name     string
		protocol protocol
		fetch    func(t *testing.T, s *server) (receipts func() []receipt)
		torn     string // a pattern of the client's error for a body that is not whole
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
			d := newDownload(downloadTime(t))
			s := serve(t, c.protocol, "127.0.0.1:0", site{name: "old", download: d})
			receipts := c.fetch(t, s)
			limited, cancel := context.WithTimeout(t.Context(), harness.Timeout)
			defer cancel()
			for range queries {
				select {
				case <-d.started:
				case <-limited.Done():
					require.FailNow(t, "the downloads don't start")
				}
			}
			start := time.Now()
			s.Drain(t)
			took := time.Since(start)
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
			report := s.Drainer.Report()
			assert.EqualValues(t, 2, report.Completed, "%+v", report)
			assert.EqualValues(t, 2, report.Cut, "%+v", report)
			assert.GreaterOrEqual(t, took, d.rule().Grace)
			t.Logf("drained in %v; of the slow ones %d bytes of %d arrived (%s) and %d (%s)", took.Round(time.Millisecond),
				got[2].Bytes, len(d.bytes), got[2].End, got[3].Bytes, got[3].End)
		})
	}
}

// fetchAll fetches the download of each query, all at the same time. The returned function waits
// for their receipts.
func fetchAll(s *server, fetch func(url string) receipt) func() []receipt {
	var fetching sync.WaitGroup
	got := make([]receipt, len(queries))
	for i, query := range queries {
		fetching.Go(func() { got[i] = fetch(s.URL("/download?" + query)) })
	}
	return func() []receipt {
		fetching.Wait()
		return got
	}
}

func fetchByGo(t *testing.T, s *server) func() []receipt {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(s.name == http1.name)
	protocols.SetHTTP2(s.scheme == h2.scheme)
	protocols.SetUnencryptedHTTP2(s.name == h2c.name && s.scheme == h2c.scheme)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
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
	curl := harness.Curl(t)
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
	p := open(t, s.URL("/"))
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
