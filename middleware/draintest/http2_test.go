//go:build !race && go1.26

package draintest

const http2InBubbles = true
