package pubsub

import "ringway/pipeline"

// MonitorFeed is MONITOR at the primaries that the shards have when it is opened. It
// belongs to its loop.
type MonitorFeed struct {
	line    func(b []byte)
	opened  func()
	shards  []*monitored
	waiting map[*monitored]bool // those that have yet to answer
}

// monitored is one server's part of a MonitorFeed.
type monitored struct {
	feed *MonitorFeed
	conn *connection
}

// Monitor has all shards' primaries tell of the requests that they execute. line is
// given each as the server framed it, valid only during the call; opened is called
// once, when every server has answered or can't be reached, and perhaps at once.
func (l *Local) Monitor(line func(b []byte), opened func()) *MonitorFeed {
	m := &MonitorFeed{line: line, opened: opened, waiting: map[*monitored]bool{}}
	for shard := range l.servers.Shards() {
		cfg, obs, err := l.servers.Primary(shard)
		if err != nil {
			continue
		}
		s := &monitored{feed: m}
		s.conn = newConnection(l.loop, cfg, obs, s)
		m.shards = append(m.shards, s)
		m.waiting[s] = true
	}
	for _, s := range m.shards {
		if s.conn.join(&Topic{Kind: everything}) != nil {
			s.settle()
		}
	}
	if len(m.shards) == 0 {
		opened()
	}
	return m
}

// Close ends the feed.
func (m *MonitorFeed) Close() {
	m.line, m.opened = nil, nil
	for _, s := range m.shards {
		s.conn.close()
	}
}

func (s *monitored) settle() {
	m := s.feed
	if delete(m.waiting, s); len(m.waiting) == 0 && m.opened != nil {
		opened := m.opened
		m.opened = nil
		opened()
	}
}

func (s *monitored) confirmed(*Topic)              { s.settle() }
func (s *monitored) refused(*Topic, []byte)        { s.settle() }
func (s *monitored) unreachable(*pipeline.Failure) { s.settle() }
func (s *monitored) left(*Topic)                   {}
func (s *monitored) lost(error)                    {} // the connection comes back by itself

func (s *monitored) message(_ TopicKind, _, frame []byte) {
	if s.feed.line != nil {
		s.feed.line(frame)
	}
}
