// Command picture records the demonstration of examples/live, with lastcall and with net/http
// alone, and draws both as one animated picture for the README. From the module's root:
//
//	go run ./examples/picture
//
// It needs the program script of util-linux, which runs the demonstration on a terminal. The
// picture shows what the two runs wrote, when they wrote it. Only the prompts, the title bars and
// the colors are the picture's own. It is an SVG with CSS animation and no script, dark on any
// background; where a reader wants no motion it shows the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() {
	out := flag.String("o", "docs/demo.svg", "`file` to write")
	budget := flag.Duration("budget", 8*time.Second, "`time` that each run's drain may take")
	speed := flag.Float64("speed", 1, "`factor` by which the picture is faster than the runs; it is written below them")
	flag.Parse()
	if err := run(*out, *budget, *speed); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(out string, budget time.Duration, speed float64) error {
	if speed <= 0 {
		return fmt.Errorf("-speed is %v: use a factor over 0", speed)
	}
	dir, err := os.MkdirTemp("", "picture")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "live")
	if text, err := exec.Command("go", "build", "-o", program, "./examples/live").CombinedOutput(); err != nil {
		return fmt.Errorf("building ./examples/live, which is there in the module's root: %w\n%s", err, text)
	}

	p := picture{speed: speed}
	for _, demo := range []struct{ title, flags string }{
		{"with lastcall", fmt.Sprintf("-demo -budget %v", budget)},
		{"with net/http alone", fmt.Sprintf("-demo -bare -budget %v", budget)},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), budget+time.Minute)
		written, err := record(ctx, program+" "+demo.flags)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", demo.flags, err)
		}
		p.terminals = append(p.terminals, replay(demo.title, "go run ./examples/live "+demo.flags, written))
	}
	return os.WriteFile(out, p.svg(), 0o644)
}

// A chunk is what a program wrote at one moment.
type chunk struct {
	at   time.Duration // since the program's start
	text string
}

// record runs a command on a terminal and returns what it wrote. The command's exit status doesn't
// matter: with net/http alone it is 1.
func record(ctx context.Context, command string) ([]chunk, error) {
	cmd := exec.CommandContext(ctx, "script", "--quiet", "--flush", "--return", "--command", command, "/dev/null")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var written []chunk
	began, buf := time.Now(), make([]byte, 64<<10)
	for {
		n, err := output.Read(buf)
		if n > 0 {
			written = append(written, chunk{time.Since(began), string(buf[:n])})
		}
		if err != nil {
			break
		}
	}
	var status *exec.ExitError
	if err := cmd.Wait(); ctx.Err() != nil || err != nil && !errors.As(err, &status) {
		return nil, errors.Join(err, ctx.Err())
	}
	if len(written) == 0 {
		return nil, errors.New("it wrote nothing")
	}
	return written, nil
}
