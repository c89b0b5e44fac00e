package zoo

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// nodeClients starts a process with clients of the npm packages. It ends with the test.
func (z zoo) nodeClients(t *testing.T) residents {
	r := residents{
		streams: []string{"eventsource 5", "undici EventSource", "eventsource-client"},
		answers: []string{"openai", "@anthropic-ai/sdk"},
	}
	cmd := exec.Command("node", filepath.Join(nodeFolder(), "clients.mjs"), z.url(""), z.collector.url)
	if z.secure {
		cmd.Args = append(cmd.Args, "h2")
	} else {
		r.streams = append(r.streams, "eventsource 2")
	}
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+certificateFile())
	cmd.Stderr = os.Stderr
	run(t, cmd)
	return r
}
