package routers

import (
	"flag"
	"testing"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the tests mostly wait
	goleak.VerifyTestMain(m)
}
