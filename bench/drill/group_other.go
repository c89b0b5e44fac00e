//go:build !unix

package main

import "os/exec"

// ownGroup does nothing: there are no process groups here, nor a SIGTERM that a process could
// catch.
func ownGroup(*exec.Cmd) {}

// killGroup does nothing, for the same reason.
func killGroup(*exec.Cmd) {}
