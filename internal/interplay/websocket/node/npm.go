package node

import (
	"fmt"
	"os"
	"os/exec"
)

// Version is the version of the npm package ws that is talked to.
const Version = "8.18.3"

// Install installs ws in a new temporary folder, which its user removes.
func Install() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "node"); err != nil {
		return "", err
	}
	npm := exec.Command("npm", "install", "--prefix", folder, "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
		"--loglevel=error", "ws@"+Version)
	if said, err := npm.CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		return "", fmt.Errorf("node: these tests need Node.js and npm, and this failed: %v: %w\n%s", npm, err, said)
	}
	return folder, nil
}
