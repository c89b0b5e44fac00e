//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// signals is empty: a process can't be asked to end by another one.
var signals map[string]os.Signal

// ownGroup does nothing: there are no process groups here, nor a SIGTERM that a process could
// catch.
func ownGroup(*exec.Cmd) {}

// killGroup does nothing, for the same reason.
func killGroup(*exec.Cmd) {}
