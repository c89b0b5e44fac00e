//go:build !race

package endings

const raceDetector = false
