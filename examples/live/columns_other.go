//go:build !(linux || darwin || freebsd)

package main

import "os"

func columnsOf(*os.File) int { return 0 }
