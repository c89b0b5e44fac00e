package sse

import (
	"flag"
	"os"
	"strconv"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // what waits, and it mostly does, costs nothing
	goleak.VerifyTestMain(m)
}

// number is that of an environment's variable, or usual.
func number(t testing.TB, variable string, usual int) int {
	v := os.Getenv(variable)
	if v == "" {
		return usual
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, variable)
	require.Positive(t, n, variable)
	return n
}
