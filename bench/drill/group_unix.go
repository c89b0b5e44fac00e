//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup has the command run in a process group of its own: Ctrl-C is for the judge.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends what is left of the command's process group.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
