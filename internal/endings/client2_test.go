package endings

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// newTransport returns a client's own transport for HTTP/2, whose connections are in all.
func (ro *round) newTransport(reads reader) *http.Transport {
	t := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			c, err := ro.dial()
			if err != nil {
				return nil, err
			}
			return &peerConn{Conn: c, reader: reads}, nil
		},
		TLSClientConfig:    clientTLS.Clone(),
		Protocols:          new(http.Protocols),
		DisableCompression: true,
	}
	t.Protocols.SetHTTP2(ro.tls)
	t.Protocols.SetUnencryptedHTTP2(!ro.tls)
	return t
}

// slowBody is the body of an upload over HTTP/2, which takes its time on the bubble's clock.
type slowBody struct {
	io.Reader
	slowly bool
}

func (b slowBody) Read(p []byte) (int, error) {
	if b.slowly {
		time.Sleep(20 * time.Millisecond)
	}
	return b.Reader.Read(p[:min(len(p), 700)])
}

// ask2 makes one exchange over HTTP/2. The client leaves after a time; zero: it stays.
func (ro *round) ask2(t *http.Transport, x *exchange, leaves time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	v := view{done: true}
	defer func() {
		v.ended = time.Now()
		if v.end != clean {
			v.left = ctx.Err() != nil
		}
		x.finish(&v)
	}()
	var body io.Reader
	if x.upload > 0 {
		body = slowBody{strings.NewReader(filler(x.upload)), x.slowly}
	}
	scheme := "http"
	if ro.tls {
		scheme = "https"
	}
	r, err := http.NewRequestWithContext(ctx, x.method, scheme+"://memory/", body)
	if err != nil {
		v.fault = err.Error()
		return
	}
	if x.upload > 0 {
		r.ContentLength = int64(x.upload)
	}
	r.Header.Set(idHeader, strconv.Itoa(x.id))
	for name, value := range x.fields() {
		r.Header.Set(name, value)
	}
	if leaves > 0 {
		timer := time.AfterFunc(leaves, cancel)
		defer timer.Stop()
	}
	res, err := t.RoundTrip(r)
	if v.err = err; err != nil {
		return
	}
	defer res.Body.Close()
	v.status, v.header, v.end = res.StatusCode, res.Header, broken
	if res.ProtoMajor != 2 {
		v.fault = "not over HTTP/2"
	}
	got := &told{x: x, v: &v}
	buf := make([]byte, 2048)
	for chunks := 0; ; chunks++ {
		p := buf
		if x.reads.chunk > 0 && chunks < 150 {
			time.Sleep(x.reads.pause)
			p = buf[:min(len(buf), x.reads.chunk)]
		}
		n, err := res.Body.Read(p)
		_, _ = got.Write(p[:n])
		if err == io.EOF {
			v.end = clean
			break
		}
		if v.err = err; err != nil {
			break
		}
	}
	v.body = got.String()
}
