// Package mcp holds the tests against libraries of the Model Context Protocol: the official Go and
// TypeScript SDKs and mark3labs/mcp-go. It is a module of its own so that they stay out of the
// root's go.mod.
package mcp
