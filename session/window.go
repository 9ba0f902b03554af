package session

// A session's window is how many of its requests may be without reply at once, normally
// client_pipeline. It is 0, closed, while a request under way must be answered before the next
// one is run, and 1 while the session is serial. Requests that have arrived meanwhile wait in
// the connection's read buffer (session.blocked).

// closeWindow keeps the session from running further requests until openWindow.
func (s *session) closeWindow() { s.window = 0 }

// openWindow lets the session run requests again. It does not run those that wait: see resume.
func (s *session) openWindow() {
	s.window = s.w.conf.ClientPipeline
	switch {
	case s.executing != nil:
		s.window = 0 // until EXEC is answered
	case s.serial:
		s.window = 1
	}
}

// beSerial keeps the session from running further requests until those under way are answered.
// It is called when servers may refuse these, which are then sent again, perhaps elsewhere:
// later requests would overtake them.
func (s *session) beSerial() {
	if !s.replies.idle() {
		s.serial = true
		s.window = min(s.window, 1)
	}
}

// resume opens the window, and has the requests that wait run at the end of the turn.
func (s *session) resume() {
	s.openWindow()
	if s.blocked || s.eof {
		s.deferRun()
	}
}

// answerAndResume answers the request that the window was closed for, and resumes. The reply is
// written even though resume comes first: RunDeferred runs at the end of the turn.
func (s *session) answerAndResume(number uint32, reply []byte) {
	s.openWindow()
	if s.conn.Open() && (s.blocked || s.eof) {
		s.deferRun()
	}
	s.finish(number, reply)
}
