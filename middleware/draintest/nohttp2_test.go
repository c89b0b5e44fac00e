//go:build race || !go1.26

package draintest

// http2InBubbles: Go 1.25's net/http shares channels between the bubbles of two tests, and with the
// race detector Go 1.26's runtime crashes.
const http2InBubbles = false
