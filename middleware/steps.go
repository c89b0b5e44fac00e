package middleware

import (
	"container/heap"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// An act is what is done to a response next.
type act uint8

const (
	actFarewell act = iota
	actInsist
	actCancel
	actCut
)

// A step is a response's next act.
type step struct {
	entry   *stream.Entry
	kind    policy.Kind // that it was planned as
	moments policy.Moments
	age     uint64 // its number among those that end by their age; zero: it isn't one
	saying  bool   // its farewell is being written
	short   bool   // it has been asked for its shortest form
	next    act
	at      time.Duration
	index   int // in the queue; -1: in none
}

// begun tells whether the response is past what can be taken back: a stream whose
// farewell has been asked for, or a context that has been cancelled.
func (s *step) begun() bool {
	return s.next > actCancel || s.kind == policy.Infinite && s.next > actFarewell
}

// An agenda holds the next step of each response that has one, the earliest first.
type agenda struct {
	steps map[*stream.Entry]*step
	queue queue
}

func newAgenda() agenda { return agenda{steps: make(map[*stream.Entry]*step)} }

// step gives the response's step, a new one where there is none.
func (a *agenda) step(e *stream.Entry) *step {
	s := a.steps[e]
	if s == nil {
		s = &step{entry: e, index: -1}
		a.steps[e] = s
	}
	return s
}

// holds tells whether a step is still to be taken: it may have been dropped since,
// or the whole agenda it was in.
func (a *agenda) holds(s *step) bool { return a.steps[s.entry] == s }

// schedule sets a response's next act, and its moment.
func (a *agenda) schedule(s *step, next act, at time.Duration) {
	s.next, s.at = next, at
	if s.index < 0 {
		heap.Push(&a.queue, s)
	} else {
		heap.Fix(&a.queue, s.index)
	}
}

func (a *agenda) drop(s *step) {
	heap.Remove(&a.queue, s.index)
	delete(a.steps, s.entry)
}

func (a *agenda) empty() bool { return len(a.queue) == 0 }

// first gives the step that comes next. There must be one.
func (a *agenda) first() *step { return a.queue[0] }

// queue is a heap of steps.
type queue []*step

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	s := x.(*step)
	s.index = len(*q)
	*q = append(*q, s)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.index = -1
	return s
}
