// Package recipes has short programs' worth of code to copy: lastcall with routers, supervisors and
// platforms. docs/recipes.md shows it, and .ci/docs compares the two. The tests run a drain through
// each of them.
package recipes
