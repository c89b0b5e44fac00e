package middleware

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// workers do what may have to wait for a response's peer. Each step is short, so a few do all of
// it. More come only while some are stuck with their peers, so that a peer holds up others for a
// few times stuckAfter at most. There are none while there is nothing to do.
type workers struct {
	wake  func()         // called when there is room again
	guard func(f func()) // calls f, and catches its panic

	mu      sync.Mutex // guards following
	waiting []func()   // what no worker has taken yet, in order
	working []*worker
	checked time.Time      // when unstick last looked
	all     sync.WaitGroup // the workers, and the goroutines of apart
}

// A worker is a goroutine that takes what waits.
type worker struct {
	steps atomic.Uint64 // counts beginnings and ends: odd while it does something
	seen  uint64        // steps as unstick saw them last; guarded by workers.mu
}

const (
	maxWaiting = 64                   // more would wait too long for the moments that they have been given
	stuckAfter = 2 * time.Millisecond // of one step, which takes some microseconds
)

// fewest is how many workers there are while none is stuck and enough is waiting.
func fewest() int { return max(4, runtime.GOMAXPROCS(0)) }

// hasRoom reports whether more may be given to the workers now.
func (w *workers) hasRoom() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting) < maxWaiting
}

// do has a worker call f.
func (w *workers) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, f)
	if len(w.working) < fewest() {
		w.addLocked(0)
	}
}

// apart calls f, which is known to wait for a peer, on a goroutine of its own.
func (w *workers) apart(f func()) { w.all.Go(func() { w.guard(f) }) }

func (w *workers) addLocked(seen uint64) {
	one := &worker{seen: seen}
	w.working = append(w.working, one)
	w.all.Go(func() { w.work(one) })
}

// work takes what waits until nothing does. After each step it lets others run first: the handler
// that the step woke, say, which would otherwise wait behind thousands of others while its time
// runs out.
func (w *workers) work(one *worker) {
	for {
		f := w.take(one)
		if f == nil {
			return
		}
		one.steps.Add(1)
		w.guard(f)
		one.steps.Add(1)
		runtime.Gosched()
	}
}

// take returns what has waited longest. If nothing waits it returns nil, and one is no worker any
// more.
func (w *workers) take(one *worker) (f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		i := slices.Index(w.working, one)
		w.working = slices.Delete(w.working, i, i+1)
		return nil
	}
	f, w.waiting[0] = w.waiting[0], nil
	w.waiting = w.waiting[1:]
	if len(w.waiting) == maxWaiting/2 {
		w.wake()
	}
	return f
}

// unstick adds a worker for each that is still at the step at which it saw it last. It returns when
// it has to be called again, zero if nothing waits.
func (w *workers) unstick(now time.Time) (again time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return time.Time{}
	}
	if again = w.checked.Add(stuckAfter); now.Before(again) {
		return again
	}
	stuck := 0
	for _, one := range w.working {
		steps := one.steps.Load()
		if steps%2 == 1 && steps == one.seen {
			stuck++
		}
		one.seen = steps
	}
	if free := len(w.working) - stuck; free < fewest() {
		for range min(len(w.waiting), max(stuck, fewest()-free)) {
			w.addLocked(1) // stuck, if it is still at its first step next time
		}
	}
	w.checked = now
	return now.Add(stuckAfter)
}
