// Package frameworks has a server for each framework that the scoreboard has a row for. To compile
// them takes long, so that they are built with the tag field only, which bench/field sets.
package frameworks
