// Package stats holds what the proxy counts of itself. Each event loop counts in variables of its
// own, without locks and atomic operations: they belong to the loop. Who wants to read them has the
// loop copy them (server.Server.Figures); Merge adds up the copies of several loops.
//
// Durations are taken from the loop's clock, which is read once a turn. A request's latency is from
// the turn in which the loop read its last byte to the turn in which its reply was written to the
// client, or was left to the kernel to write.
package stats

// Pool counts what one loop sees of the clients of one pool.
type Pool struct {
	Clients  ClientCounts
	Requests RequestCounts
	Commands []*Command // by number: 1 + command.Command.ID, 0 for commands that are not known; nil for those that were never called

	run run // the replies that left last
}

// ClientCounts counts clients, and their bytes.
type ClientCounts struct {
	Connected uint64 // clients that this loop has been given since the start
	Closed    [CloseReasons]uint64
	Broken    uint64 // of those ClosedByClient, the connections that broke: no orderly end, such as a reset
	BytesIn   uint64 // of requests
	BytesOut  uint64 // of replies and messages, as the kernel has taken them
}

// RequestCounts counts what became of requests.
type RequestCounts struct {
	Errors   [ErrorCodes]uint64 // error replies, by their code
	Failures [Failures]uint64   // requests that no server has answered, by the reason; they are in Errors too

	BigRequests uint64 // of big_value and more
	BigReplies  uint64
	Slow        uint64 // that took slow_request or longer
	Fragments   uint64 // parts of requests that were cut by the shards of their keys
}

// Command counts the calls of one command.
type Command struct {
	Errors  uint64    // error replies
	Latency Histogram // of all calls; how many there were is its Count
}

// run is replies to one command whose requests came in one turn and whose replies left in another.
// Pipelines make long runs, and a run costs as much as a single reply.
type run struct {
	key   uint64 // number of the command, and when the requests came
	now   uint32 // when the replies left
	count uint64
}

// Replied counts a reply that leaves now. command is the number of the request's command. came and
// now are times in Units, from the same clock; they may wrap around.
func (p *Pool) Replied(command uint16, came, now uint32) {
	key := uint64(command)<<32 | uint64(came)
	if p.run.key == key && p.run.now == now {
		p.run.count++
		return
	}
	p.beginRun(key, now) // apart, so that Replied is inlined
}

func (p *Pool) beginRun(key uint64, now uint32) {
	p.endRun()
	p.run = run{key, now, 1}
}

// endRun counts the replies of the run.
func (p *Pool) endRun() {
	r := &p.run
	if r.count == 0 {
		return
	}
	p.Command(uint16(r.key>>32)).Latency.Add(r.now-uint32(r.key), r.count)
	r.count = 0
}

// Command returns the counts of a command, for counting.
func (p *Pool) Command(number uint16) *Command {
	for int(number) >= len(p.Commands) {
		p.Commands = append(p.Commands, nil)
	}
	if p.Commands[number] == nil {
		p.Commands[number] = new(Command)
	}
	return p.Commands[number]
}

// Calls returns how many requests were answered.
func (p *Pool) Calls() (n uint64) {
	for _, c := range p.Commands {
		if c != nil {
			n += c.Latency.Count()
		}
	}
	return n
}

// Errors returns how many requests were answered with an error.
func (p *Pool) Errors() (n uint64) {
	for _, of := range p.Requests.Errors {
		n += of
	}
	return n
}

// Merge adds what other has counted. It leaves other alone but for its run.
func (p *Pool) Merge(other *Pool) {
	other.endRun()
	p.Clients.Connected += other.Clients.Connected
	addAll(p.Clients.Closed[:], other.Clients.Closed[:])
	p.Clients.Broken += other.Clients.Broken
	p.Clients.BytesIn += other.Clients.BytesIn
	p.Clients.BytesOut += other.Clients.BytesOut
	addAll(p.Requests.Errors[:], other.Requests.Errors[:])
	addAll(p.Requests.Failures[:], other.Requests.Failures[:])
	p.Requests.BigRequests += other.Requests.BigRequests
	p.Requests.BigReplies += other.Requests.BigReplies
	p.Requests.Slow += other.Requests.Slow
	p.Requests.Fragments += other.Requests.Fragments
	for number, c := range other.Commands {
		if c != nil {
			own := p.Command(uint16(number))
			own.Errors += c.Errors
			own.Latency.Merge(&c.Latency)
		}
	}
}

func addAll(to, from []uint64) {
	for i, n := range from {
		to[i] += n
	}
}

// Time returns a time of a loop's clock, in nanoseconds, in Units. It wraps around.
func Time(ns int64) uint32 { return uint32(ns >> unitShift) }
