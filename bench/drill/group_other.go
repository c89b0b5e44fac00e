//go:build !unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// signals are those by which servers are asked to end, by the value of -signal.
var signals = map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt}

// ownGroup does nothing: there are no process groups here, nor a SIGTERM that a process could
// catch.
func ownGroup(*exec.Cmd) {}

// killGroup does nothing, for the same reason.
func killGroup(*exec.Cmd) {}
