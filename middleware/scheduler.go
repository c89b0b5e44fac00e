package middleware

import (
	"container/heap"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// A scheduler takes responses through the stages of their end: all of them in a drain, and while
// serving those that are shed or have reached their maximum age. It is one goroutine that sleeps
// until the next response's next stage, and there is none while nothing is scheduled. What may have
// to wait for a response's peer is done by workers, which the response's cut frees at the latest.
//
// When many are due at once, or the machine is busy, they wait for their turn in the queue, and the
// times that follow count from when it came: nobody is cut because the drain was slow.
type scheduler struct {
	d    *Drainer
	wake chan struct{} // holds one value while there are tasks

	mu      sync.Mutex // guards following; no other lock is taken under it
	tasks   []func()   // what others want to have run on the scheduler's goroutine
	running bool       // a goroutine is in run
	closed  bool       // the last drain is over: no task is accepted any more

	// Owned by the goroutine in run.
	queue   queue
	drain   *drain                          // nil: none is under way
	picked  map[*tracked.Response]*shedCall // the streams that Shed picked, until they end
	workers *workers
	lag     time.Duration // how late the last cancel was that was later than maxLag
	lagAt   time.Time     // when that was; zero: none was
}

// newScheduler returns d's scheduler.
func newScheduler(d *Drainer) *scheduler {
	s := &scheduler{d: d, wake: make(chan struct{}, 1), picked: make(map[*tracked.Response]*shedCall)}
	s.workers = s.newWorkers()
	return s
}

func (s *scheduler) newWorkers() *workers {
	return &workers{wake: s.wakeUp, guard: func(f func()) { s.d.guard("what a response needs to end", f) }}
}

// post has task run on the scheduler's goroutine, which it starts where there is none. It reports
// false, and task is not run, once the last drain is over.
func (s *scheduler) post(task func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.tasks = append(s.tasks, task)
	s.wakeUp()
	if !s.running {
		s.running = true
		go s.run()
	}
	return true
}

func (s *scheduler) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default: // it has been woken already
	}
}

// refuseTasks makes post refuse tasks from now on. Those that were posted are still run.
func (s *scheduler) refuseTasks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *scheduler) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.mu.Lock()
		tasks := s.tasks
		s.tasks = nil
		s.mu.Unlock()
		for _, task := range tasks {
			task()
		}
		for len(s.queue) > 0 && !s.queue[0].At.After(time.Now()) && s.workers.hasRoom() {
			s.runNext(s.queue[0])
		}
		s.advance(time.Now())
		look := s.workers.unstick(time.Now())
		switch {
		case s.drain != nil || len(s.queue) > 0 || len(s.picked) > 0 || !look.IsZero():
			s.sleep(timer, look)
		case s.stopIfIdle():
			return
		}
	}
}

// stopIfIdle reports whether the goroutine may end: no task has come since it last took them.
func (s *scheduler) stopIfIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = len(s.tasks) > 0
	return !s.running
}

// sleep waits for the next stage, the drain's next step, its next line in the log, a task, or the
// next look at the workers, zero if nothing waits for them.
func (s *scheduler) sleep(timer *time.Timer, look time.Time) {
	var next time.Time
	if len(s.queue) > 0 {
		next = s.queue[0].At
	}
	var allEnded <-chan struct{}
	var tick <-chan time.Time
	if dr := s.drain; dr != nil {
		allEnded, tick = dr.allEnded, dr.ticker.C
		switch {
		case dr.plan == nil && (next.IsZero() || dr.announceEnd.Before(next)):
			next = dr.announceEnd
		case next.IsZero():
			next = dr.lastCut.Add(dr.cutWait)
		}
	}
	if !look.IsZero() && (next.IsZero() || look.Before(next) || !s.workers.hasRoom()) {
		next = look // without room, what is due has to wait
	}
	timer.Stop()
	if !next.IsZero() {
		timer.Reset(time.Until(next))
	}
	select {
	case <-s.wake:
	case <-allEnded:
	case <-tick:
		s.logProgress(time.Now())
	case <-timer.C:
	}
}

// schedule sets a response's next stage and its time.
func (s *scheduler) schedule(e *tracked.Ending, stage int, at time.Time) {
	e.Stage, e.At = stage, at
	if e.Queued == 0 {
		heap.Push(&s.queue, e)
	} else {
		heap.Fix(&s.queue, e.Queued-1)
	}
}

// unschedule takes a response out of the queue. What its workers still report is of an earlier
// Round, and ignored.
func (s *scheduler) unschedule(e *tracked.Ending) {
	heap.Remove(&s.queue, e.Queued-1)
	e.Schedule = tracked.Schedule{Round: e.Round + 1, AgeNumber: e.AgeNumber}
}

// queue is a heap of the responses that are scheduled, the earliest first.
type queue []*tracked.Ending

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].At.Before(q[j].At) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].Queued, q[j].Queued = i+1, j+1
}

func (q *queue) Push(x any) {
	e := x.(*tracked.Ending)
	*q = append(*q, e)
	e.Queued = len(*q)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.Queued = 0
	return e
}
