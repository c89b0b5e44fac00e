module github.com/lastcall-go/lastcall/internal/endings

go 1.26.0

replace github.com/lastcall-go/lastcall => ../..

require (
	github.com/lastcall-go/lastcall v0.0.0
	go.uber.org/goleak v1.3.0
	golang.org/x/net v0.62.0
)

require golang.org/x/text v0.43.0 // indirect
