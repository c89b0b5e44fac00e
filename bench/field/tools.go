package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// caddy is built from its module: Debian's is from 2022.
const caddy = "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"

// prepare installs and builds what the contestants need.
func (f *field) prepare(ctx context.Context) error {
	if _, err := os.Stat("bench/field/contestants.go"); err != nil {
		return errors.New("run it in the repository's root")
	}
	f.bin, _ = filepath.Abs(f.bin)
	do := func(dir, command string, args ...string) error {
		fmt.Fprintf(f.log, "field: %s %s\n", command, strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, command, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, f.log, f.log
		cmd.Env = append(os.Environ(), "GOBIN="+f.bin, "DEBIAN_FRONTEND=noninteractive")
		return cmd.Run()
	}
	var debian []string
	needs := map[string]bool{}
	for _, c := range f.all {
		needs[c.name] = true
		for _, p := range c.parts {
			needs[p.from] = true
			if p.from == fromDebian && !slices.Contains(debian, p.name) && debianVersion(ctx, p.name) == "" {
				debian = append(debian, p.name)
			}
		}
	}
	if len(debian) > 0 {
		install := append([]string{"install", "-qy", "--no-install-recommends"}, debian...)
		if err := errors.Join(do("", "apt-get", "update", "-q"), do("", "apt-get", install...)); err != nil {
			return err
		}
	}
	if needs[fromNode] {
		if err := do("bench/field/node", "npm", "ci", "--no-audit", "--no-fund"); err != nil {
			return err
		}
	}
	if needs["caddy"] {
		if err := do("", "go", "install", caddy); err != nil {
			return err
		}
	}
	ours := []string{"./bench/drill", "./examples/live"}
	for _, name := range []string{"nethttp", "basecontext", "lastcall", "proxy", "backend"} {
		ours = append(ours, "./bench/field/"+name)
	}
	if err := do("", "go", append([]string{"install"}, ours...)...); err != nil {
		return err
	}
	var frameworks []string
	for _, name := range []string{"gin", "echo", "chi", "fiber"} {
		if needs[name] {
			frameworks = append(frameworks, "./"+name)
		}
	}
	if frameworks == nil {
		return nil
	}
	return do("bench/field/frameworks", "go", append([]string{"install", "-tags", "field"}, frameworks...)...)
}

func debianVersion(ctx context.Context, name string) string {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name).Output()
	if err != nil {
		return ""
	}
	version, ok := strings.CutPrefix(string(out), "installed ")
	if !ok {
		return ""
	}
	return version
}

// versions tells those of what has been judged.
type versions struct {
	ctx context.Context
	bin string
}

// of returns a part's name and version, for people.
func (v *versions) of(p part) (string, error) {
	switch p.from {
	case fromHere:
		return "lastcall as in this repository", nil
	case fromGo:
		out, err := v.output("go", "env", "GOVERSION")
		return "Go " + strings.TrimPrefix(out, "go"), err
	case fromNode:
		out, err := v.output("node", "--version")
		return "Node " + strings.TrimPrefix(out, "v"), err
	case fromDebian:
		return p.name + " " + debianVersion(v.ctx, p.name), nil
	case fromNpm:
		text, err := os.ReadFile(filepath.Join("bench/field/node/node_modules", p.name, "package.json"))
		var about struct{ Version string }
		if err == nil {
			err = json.Unmarshal(text, &about)
		}
		return p.name + " " + about.Version, err
	}
	binary, path, _ := strings.Cut(p.name, ":")
	out, err := v.output("go", "version", "-m", filepath.Join(v.bin, binary))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) > 2 && (words[0] == "dep" || words[0] == "mod") && words[1] == path {
			return strings.TrimPrefix(path, "github.com/") + " " + words[2], nil
		}
	}
	return "", fmt.Errorf("%s has no module %s", binary, path)
}

func (v *versions) output(command string, args ...string) (string, error) {
	out, err := exec.CommandContext(v.ctx, command, args...).Output()
	return strings.TrimSpace(string(out)), err
}
