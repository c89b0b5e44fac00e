package sse

import (
	"flag"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"
)

// mercy is how long a canceled handler has to return, on a slow machine too.
const mercy = 10 * time.Second

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the tests mostly wait
	goleak.VerifyTestMain(m)
}
