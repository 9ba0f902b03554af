package session

import "time"

// A task is the work of one request that is too much for one turn of its loop: to subscribe
// to thousands of names, or to write a line for each of thousands of clients. Each call does
// a portion of it, some tens of microseconds, and reports whether the task is done. The
// session's window is closed meanwhile. A task must see for itself whether its client is
// still connected.
type task func() (done bool)

const (
	// taskTime is how much of a turn goes to tasks. The loop's other clients wait that
	// long, and the cost of a turn is small beside it.
	taskTime = time.Millisecond
	// portion is how many names or clients a task handles in one call.
	portion = 128
)

// inPortions does a task's first portion now, and the rest, if there is any, in the loop's
// next turns. Tasks of several clients take turns, portion by portion.
func (w *Worker) inPortions(t task) {
	if t() {
		return
	}
	w.tasks = append(w.tasks, t)
	if !w.tasksPosted {
		w.tasksPosted = true
		w.loop.Post(w.runTasks)
	}
}

// runTasks works at the tasks for taskTime, and posts itself again if some are left.
func (w *Worker) runTasks() {
	defer func() {
		if w.tasksPosted = len(w.tasks) > 0; w.tasksPosted {
			w.loop.Post(w.runTasks)
		}
	}()
	for began := time.Now(); len(w.tasks) > 0 && time.Since(began) < taskTime; {
		t := w.tasks[0]
		w.tasks[0] = nil
		if w.tasks = w.tasks[1:]; !t() {
			w.tasks = append(w.tasks, t)
		}
	}
}
