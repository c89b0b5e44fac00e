package node

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// client is installed once for all tests.
var client *Client

func TestMain(m *testing.M) {
	var err error
	if client, err = Install(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = client.Remove()
		os.Exit(code)
	}))
}
