package rpc

import (
	"context"
	"time"
)

// A client is that of a library. Its functions return nil, or a *failure.
type client interface {
	unary(ctx context.Context, request string) (string, error)
	list(ctx context.Context, request string, each func(string)) error
	watch(ctx context.Context, request string, each func(string)) error
	// chat sends request and reads what comes back, again and again, with wait between two.
	chat(ctx context.Context, request string, wait func()) error
	close()
}

// A failure is a call's error, as its client read it.
type failure struct {
	code    string // as Connect has it
	message string
	retry   time.Duration // when to try again; negative: the server said nothing of it
}

func (f *failure) Error() string { return f.code + ": " + f.message }
