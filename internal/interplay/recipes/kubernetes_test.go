package recipes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/lastcall-go/lastcall/internal/memnet"
)

// manifest is what this test needs of a manifest.
type manifest struct {
	Spec struct {
		Grace      int `yaml:"terminationGracePeriodSeconds"`
		Containers []struct {
			Env       []struct{ Name, Value string }
			Lifecycle struct {
				PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
			}
			Readiness struct {
				Period    int `yaml:"periodSeconds"`
				Threshold int `yaml:"failureThreshold"`
			} `yaml:"readinessProbe"`
		}
	}
}

// As a pod with either manifest is stopped, requests are served until the readiness probe and the
// proxies have had their time, and the process ends 5 s before it would be killed, whatever its
// handlers do.
func TestKubernetes(t *testing.T) {
	for _, c := range []struct {
		file  string
		ready int // of the readiness probe once the pod is to go
	}{{"announce.yaml", 503}, {"prestop.yaml", 200}} {
		t.Run(c.file, func(t *testing.T) {
			text, err := os.ReadFile(c.file)
			require.NoError(t, err)
			var m manifest
			require.NoError(t, yaml.Unmarshal(text, &m))
			require.Len(t, m.Spec.Containers, 1)
			pod := m.Spec.Containers[0]
			for _, v := range pod.Env {
				t.Setenv(v.Name, v.Value)
			}
			synctest.Test(t, func(t *testing.T) {
				d, h, err := Kubernetes(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/long" {
						<-r.Context().Done()
					}
				}))
				require.NoError(t, err)
				l := memnet.New()
				client := http.Client{Transport: &http.Transport{DialContext: l.Dial, DisableKeepAlives: true}}
				status := func(path string) int {
					res, err := client.Get("http://memory" + path)
					if !assert.NoError(t, err) {
						return 0
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					return res.StatusCode
				}
				ctx, signal := context.WithCancel(t.Context())
				srv := &http.Server{Handler: h}
				ran := make(chan error, 1)
				go func() { ran <- d.Run(ctx, srv, func() error { return srv.Serve(l) }) }()
				assert.Equal(t, 200, status("/readyz"))
				long := make(chan int, 1)
				go func() { long <- status("/long") }()
				synctest.Wait()

				deleted := time.Now() // from here on Kubernetes counts
				preStop := time.Duration(pod.Lifecycle.PreStop.Sleep.Seconds) * time.Second
				terminate := time.AfterFunc(preStop, signal)
				defer terminate.Stop()
				unready := time.Duration(pod.Readiness.Period*pod.Readiness.Threshold) * time.Second
				for time.Since(deleted) < unready+2*time.Second {
					time.Sleep(500 * time.Millisecond)
					assert.Equal(t, c.ready, status("/readyz"))
					assert.Equal(t, 200, status("/"), "%v after the pod was deleted", time.Since(deleted))
				}
				time.Sleep(2 * time.Second)
				assert.Equal(t, 503, status("/"), "%v after the pod was deleted", time.Since(deleted))
				assert.Equal(t, 503, status("/readyz"))
				assert.Equal(t, 200, status("/healthz"), "nothing restarts it")

				assert.NoError(t, <-ran)
				assert.Equal(t, 503, <-long)
				took, grace := time.Since(deleted), time.Duration(m.Spec.Grace)*time.Second
				assert.LessOrEqual(t, took, grace-5*time.Second, fmt.Sprintf("of %v", grace))
			})
		})
	}
}
