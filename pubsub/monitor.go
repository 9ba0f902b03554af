package pubsub

import "ringway/pipeline"

// MonitorFeed is the output of MONITOR at the servers that were the shards' primaries
// when it was opened. It belongs to its loop.
type MonitorFeed struct {
	line       func(b []byte)
	opened     func()
	shards     []*monitored
	unanswered map[*monitored]bool // those that have yet to answer
}

// monitored is one server's part of a MonitorFeed.
type monitored struct {
	feed *MonitorFeed
	conn *connection
}

// Monitor runs MONITOR at all shards' primaries. line is called with each line as the
// server framed it, valid only during the call. opened is called once, perhaps before
// Monitor returns, when every server has answered or can't be reached.
func (l *Local) Monitor(line func(b []byte), opened func()) *MonitorFeed {
	m := &MonitorFeed{line: line, opened: opened, unanswered: map[*monitored]bool{}}
	for shard := range l.servers.Shards() {
		cfg, obs, err := l.servers.Primary(shard) // a shard that is gone has none
		if err != nil {
			continue
		}
		s := &monitored{feed: m}
		s.conn = newConnection(l.loop, cfg, obs, s)
		m.shards = append(m.shards, s)
		m.unanswered[s] = true
	}
	for _, s := range m.shards {
		if s.conn.subscribe(&Topic{Kind: everything}) != nil {
			s.settle()
		}
	}
	if len(m.shards) == 0 {
		opened()
	}
	return m
}

// Close ends the feed: line is not called any more.
func (m *MonitorFeed) Close() {
	m.line, m.opened = nil, nil
	for _, s := range m.shards {
		s.conn.close()
	}
}

// settle notes that the server has answered or can't be reached.
func (s *monitored) settle() {
	m := s.feed
	if delete(m.unanswered, s); len(m.unanswered) == 0 && m.opened != nil {
		opened := m.opened
		m.opened = nil
		opened()
	}
}

func (s *monitored) confirmed(*Topic)              { s.settle() }
func (s *monitored) refused(*Topic, []byte)        { s.settle() }
func (s *monitored) unreachable(*pipeline.Failure) { s.settle() }
func (s *monitored) unsubscribed(*Topic)           {}
func (s *monitored) lost(error)                    {} // the connection is made again by itself

func (s *monitored) message(_ TopicKind, _, frame []byte) {
	if s.feed.line != nil {
		s.feed.line(frame)
	}
}
