package pool

import (
	"ringway/pipeline"
	"ringway/resp"
)

// Tap is MONITOR at the primaries that the shards have when it is opened. It
// belongs to its loop.
type Tap struct {
	topic   pipeline.Topic
	feeds   []*pipeline.Subscriber
	line    func(b []byte)
	opened  func()
	waiting map[*tapFeed]bool // those that have yet to answer
}

// OpenTap has all shards' primaries tell of the requests that they execute. line is
// given each as the server framed it, valid only during the call; opened is called
// once, when every server has answered or can't be reached, and perhaps at once.
func (l *Local) OpenTap(line func(b []byte), opened func()) *Tap {
	t := &Tap{topic: pipeline.Topic{Kind: pipeline.Everything}, line: line, opened: opened, waiting: map[*tapFeed]bool{}}
	var feeds []*tapFeed
	for _, sh := range l.shards {
		if s := sh.primary; s != nil {
			f := &tapFeed{tap: t}
			f.subscriber = pipeline.NewSubscriber(l.loop, s.config(kind{protocol: resp.RESP2}, forAll), s, f)
			feeds = append(feeds, f)
			t.feeds = append(t.feeds, f.subscriber)
			t.waiting[f] = true
		}
	}
	for _, f := range feeds {
		if f.subscriber.Join(&t.topic) != nil {
			f.settle()
		}
	}
	return t
}

// Close ends the tap.
func (t *Tap) Close() {
	t.line, t.opened = nil, nil
	for _, s := range t.feeds {
		s.Close()
	}
}

// tapFeed is one server's part of a Tap.
type tapFeed struct {
	tap        *Tap
	subscriber *pipeline.Subscriber
}

func (f *tapFeed) settle() {
	t := f.tap
	if delete(t.waiting, f); len(t.waiting) == 0 && t.opened != nil {
		opened := t.opened
		t.opened = nil
		opened()
	}
}

// Confirmed is pipeline.Feed's.
func (f *tapFeed) Confirmed(*pipeline.Topic) { f.settle() }

// Refused is pipeline.Feed's.
func (f *tapFeed) Refused(*pipeline.Topic, []byte) { f.settle() }

// Unreachable is pipeline.Feed's.
func (f *tapFeed) Unreachable(*pipeline.Failure) { f.settle() }

// Left is pipeline.Feed's.
func (f *tapFeed) Left(*pipeline.Topic) {}

// Lost is pipeline.Feed's: the subscriber comes back by itself.
func (f *tapFeed) Lost(error) {}

// Message is pipeline.Feed's.
func (f *tapFeed) Message(_ pipeline.TopicKind, _, frame []byte) {
	if f.tap.line != nil {
		f.tap.line(frame)
	}
}
